"""Attention over listed edges alone: time and memory that grow with the edges of a graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.backends.base import Backend, Cost, as_given, wide_dtype
from heedful.ops.backends.edges.attention import attend_edges
from heedful.ops.backends.edges.dropout import dropping
from heedful.ops.backends.edges.plain import EdgePair, EdgeTensors, plain_scores, plain_softmax
from heedful.ops.backends.reference import Operands, prepare, token_bytes
from heedful.ops.call import Attended, Call, bias_at
from heedful.ops.cells import Pairs
from heedful.ops.csr.rows import CompressedRows, is_traced
from heedful.ops.finite import inside_func
from heedful.ops.masks import Edges, Mask
from heedful.ops.masks.base import And
from heedful.ops.normalizers import Softmax
from heedful.ops.scores import Additive


class EdgeByEdge(Backend):
    """Every score, under softmax and a mask that is a list of edges, or that `&` makes of one and other masks."""

    name: ClassVar[str] = "edges"
    length_rank: ClassVar[int] = 0
    why: ClassVar[str] = "only the edges listed are computed, one pass a query"
    cost: ClassVar[Cost] = Cost(
        call=105e-6,
        backward_call=190e-6,
        multiply_add=0.13e-9,
        cell=11e-9,
        transcendental=0.8e-9,
        backward=2.2,
    )

    def supports(self, call: Call) -> str | None:
        if not isinstance(call.normalizer, Softmax):
            return f"it normalizes by softmax, not by {call.normalizer.name}"
        if call.score.pair_kind == "custom":
            return f"it knows inner products and additive pairs, and the {call.score.name} score has a pair of its own"
        traced = torch.compiler.is_compiling()
        if inside_func() or (traced and (call.return_weights or not is_traced(call.query))):
            return "only its compiled kernels can be traced, by torch.compile alone, and they return no weights"
        if edges_of(call.mask) is None:
            return (
                "its mask lists no edges, as masks.Edges does, alone or joined to other masks by &"
            )
        return None

    def is_fused(self, call: Call) -> bool:
        return True

    def seconds(self, call: Call) -> float:
        return math.inf if edges_of(call.mask) is None else self.seconds_for(call, self.cells(call))

    def cells(self, call: Call) -> int:
        edges = edges_of(call.mask)
        return call.cells if edges is None else call.lead_size * edges.edge_index.shape[1]

    def bytes_at_once(self, call: Call) -> int:
        return 0

    def bytes_kept(self, call: Call) -> int:
        edges = edges_of(call.mask)
        if not call.needs_gradient or edges is None:
            return 0
        width = wide_dtype(call.query.dtype).itemsize
        # Several heads are laid side by side, in copies; then the output, and a number a row.
        query, key, value = call.num_queries, call.num_keys, call.value_features
        copies = (query + key) * call.pair_features + key * value if call.lead_size > 1 else 0
        output = query * (value + 1)
        places = edges.edge_index.shape[1] * width
        nowhere = torch.zeros(0, dtype=torch.long, device=call.rows.device)
        cells = Pairs(nowhere, nowhere, query, key, call.lead)
        added = _added(call, cells, wide_dtype(call.query.dtype))
        hidden = 0 if added is None else math.prod(added.shape[:-1]) * places
        weights = call.cells * width + 4 * call.lead_size * places if call.return_weights else 0
        kept = call.lead_size * (copies + output) * width
        return token_bytes(call) + kept + hidden + weights

    def run(self, call: Call) -> Attended:
        edges = edges_of(call.mask)
        assert edges is not None
        with as_given(call.query.device):
            job = Job.of(call, prepare(call), edges.unique_rows())
            output = job.unpacked(
                attend_edges(job.rows, job.pair, job.given, dropping(call.dropout_p))[0]
            )
            spoilt = job.spoilt()
            if spoilt is not None:
                output = torch.where(spoilt[..., None], torch.nan, output)
            weights = job.weights(spoilt) if call.return_weights else None
        return Attended(output.to(call.query.dtype), weights)


def edges_of(mask: Mask | None) -> Edges | None:
    """The edges outside which a mask keeps nothing, None where it lists none."""
    return next((part for part in _parts(mask) if isinstance(part, Edges)), None)


def _parts(mask: Mask | None) -> Iterator[Mask]:
    """The masks that `&` joined."""
    if type(mask) is And:
        yield from _parts(mask.left)
        yield from _parts(mask.right)
    elif mask is not None:
        yield mask


@dataclass(frozen=True, eq=False)
class Job:
    """A call in the layout of the kernel: a node after the other, its heads side by side."""

    call: Call
    operands: Operands
    rows: CompressedRows
    pair: EdgePair
    given: EdgeTensors
    cells: Pairs
    hidden: Tensor | None
    """What mask and bias add at the edges, (*lead or fewer axes or 1s, edges); minus infinity hides."""
    batch: tuple[int, ...]
    heads: tuple[int, ...]

    @classmethod
    def of(cls, call: Call, operands: Operands, rows: CompressedRows) -> Job:
        cells = Pairs(rows.queries(), rows.keys.long(), call.num_queries, call.num_keys, call.lead)
        score, vector, kind, split = call.score, None, EdgePair("dot"), max(len(call.lead) - 1, 0)
        if isinstance(score, Additive):
            vector, kind = score.vector.to(operands.query.dtype), EdgePair(score.activation)
            # The kernel has one vector a head: where it differs from batch to batch, all are heads.
            split = 0 if vector.ndim > 2 else split
        batch, heads = call.lead[:split], call.lead[split:]
        if vector is not None:
            vector = vector.expand(*heads, -1).reshape(math.prod(heads), -1)
        added = _added(call, cells, operands.query.dtype)
        bias = None if added is None else _packed_bias(added, batch, heads)
        query, key, value = (
            _packed(tensor, batch, heads)
            for tensor in (operands.query, operands.key, operands.value)
        )
        given = EdgeTensors(query, key, value, vector=vector, bias=bias)
        return cls(call, operands, rows, kind, given, cells, added, batch, heads)

    def unpacked(self, output: Tensor) -> Tensor:
        """(batch, queries, heads, values) -> (*lead, queries, values)."""
        return output.movedim(1, 2).reshape(*self.batch, *self.heads, -1, output.shape[-1])

    def spoilt(self) -> Tensor | None:
        """Which rows may see something that is not finite, (*lead, query); None where nothing is."""
        bad_query, bad_key = self.operands.bad_query, self.operands.bad_key
        if bad_query is None or bad_key is None:
            return None
        bad = self.cells.of_queries(bad_query) | self.cells.of_keys(bad_key)
        if self.hidden is not None:
            bad = bad & (self.hidden != -torch.inf)
        # Behind the last row there may be places of no edge.
        real = torch.arange(self.rows.count, device=bad.device) < self.rows.start[-1]
        bad = (bad & real).expand(*self.call.lead, -1).int()
        counts = bad.new_zeros(*self.call.lead, self.call.num_queries)
        return counts.index_add(-1, self.rows.queries(), bad) > 0

    def weights(self, spoilt: Tensor | None) -> Tensor:
        """Weights as a matrix, (*lead, query, key), before dropout."""
        found = plain_softmax(self.rows, plain_scores(self.rows, self.pair, self.given))
        found = found.transpose(1, 2).reshape(*self.call.lead, -1)
        dense = found.new_zeros(*self.call.lead, self.call.num_queries, self.call.num_keys)
        places = self.rows.queries() * self.call.num_keys + self.rows.keys
        weights = dense.flatten(-2).index_copy(-1, places, found).view_as(dense)
        if spoilt is not None:
            weights = torch.where(spoilt[..., None] & (weights != 0), torch.nan, weights)
        return weights.to(self.call.query.dtype)


def _added(call: Call, cells: Pairs, dtype: torch.dtype) -> Tensor | None:
    """What the bias adds at the edges, and minus infinity where masks besides the edges hide."""
    added = None if call.bias is None else bias_at(call.bias, cells).to(dtype)
    edges = edges_of(call.mask)
    for part in _parts(call.mask):
        if part is not edges:
            keep = part.at(cells)
            zero = torch.zeros((), dtype=dtype, device=keep.device)
            added = torch.where(keep, zero if added is None else added, -torch.inf)
    return added


def _packed(tensor: Tensor, batch: tuple[int, ...], heads: tuple[int, ...]) -> Tensor:
    """(*lead, length, features) -> (batch, length, heads, features), contiguous."""
    length, features = tensor.shape[-2:]
    whole = tensor.expand(*batch, *heads, length, features)
    shape = (math.prod(batch), math.prod(heads), length, features)
    return whole.reshape(shape).transpose(1, 2).contiguous()


def _packed_bias(added: Tensor, batch: tuple[int, ...], heads: tuple[int, ...]) -> Tensor:
    """(*lead or less, edges) -> (batch or 1, edges, heads)."""
    own = added.shape[: max(added.ndim - 1 - len(heads), 0)]
    kept = batch if any(size != 1 for size in own) else (1,) * len(batch)
    whole = added.expand(*kept, *heads, added.shape[-1])
    return whole.reshape(math.prod(kept), math.prod(heads), -1).transpose(1, 2)
