"""The backend `edges` of `attend`: time and memory that grow with the number of edges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.backends.base import Backend, Cost, wide_dtype, without_autocast
from heedful.ops.backends.edges.arguments import EdgePair, EdgeTensors
from heedful.ops.backends.edges.attend import edge_attention
from heedful.ops.backends.reference import Operands, prepare, token_bytes
from heedful.ops.call import Attended, Call, bias_at
from heedful.ops.cells import Pairs
from heedful.ops.csr.rows import CompressedRows, is_compiling_for_cpu
from heedful.ops.finite import in_torch_func, is_eager
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import needs_dispatch
from heedful.ops.masks import Edges, Mask
from heedful.ops.masks.base import And
from heedful.ops.normalizers import Softmax
from heedful.ops.normalizers.sparse import excess_of_heads, is_sparse
from heedful.ops.scores import Additive


class EdgeByEdge(Backend):
    """Every score, under softmax, sparsemax or entmax and a mask that is a list of edges, alone or joined by `&`."""

    name: ClassVar[str] = "edges"
    length_rank: ClassVar[int] = 0
    why: ClassVar[str] = "only the edges listed are computed, one pass a query"
    cost: ClassVar[Cost] = Cost(
        call=105e-6,
        backward_call=190e-6,
        multiply_add=0.075e-9,
        cell=9e-9,
        transcendental=0.8e-9,
        backward=1.95,
    )

    def supports(self, call: Call) -> str | None:
        sparse = is_sparse(call.normalizer)
        if not isinstance(call.normalizer, Softmax) and not sparse:
            return f"it has no kernels that normalize by {call.normalizer.name} with these settings"
        if call.score.pair_kind not in ("dot", "additive"):
            return f"it knows inner products and additive pairs, and the {call.score.name} score has a pair of its own"
        if sparse and not _has_kernels(call):
            return f"its kernels of {call.normalizer.name} run on the CPU, untraced"
        if in_torch_func():
            return "torch.func cannot transform its compiled kernels"
        if torch.compiler.is_compiling() and not is_compiling_for_cpu(call.query):
            return "a traced program can hold its compiled kernels alone, and they cannot run here"
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
        # Several heads are packed side by side, in copies; then the output, and a logsumexp per query.
        query, key, value = call.num_queries, call.num_keys, call.value_features
        copies = (query + key) * call.pair_features + key * value if call.lead_size > 1 else 0
        output = query * (value + 1)
        places = edges.edge_index.shape[1] * width
        nowhere = torch.zeros(0, dtype=torch.long, device=call.rows.device)
        cells = Pairs(nowhere, nowhere, query, key, call.lead)
        added = _added(call, cells, wide_dtype(call.query.dtype))
        if is_sparse(call.normalizer):
            output += edges.edge_index.shape[1]  # the weights
        hidden = 0 if added is None else math.prod(added.shape[:-1]) * places
        kept = call.lead_size * (copies + output) * width
        return token_bytes(call) + kept + hidden

    def run(self, call: Call) -> Attended:
        edges = edges_of(call.mask)
        assert edges is not None
        with without_autocast(call.query.device):
            layout = EdgeLayout.of(call, prepare(call), edges.unique_rows())
            found = edge_attention(
                layout.tensors,
                layout.rows,
                layout.pair,
                dropout_p=call.dropout_p,
                needs_weights=call.return_weights,
                excess=layout.excess(),
            )
            output, spoilt = layout.unpacked(found.output), layout.spoilt()
            if spoilt is not None:
                output = torch.where(spoilt[..., None], torch.nan, output)
            weights = None if found.weights is None else layout.dense(found.weights, spoilt)
        return Attended(output.to(call.query.dtype), weights)


def _has_kernels(call: Call) -> bool:
    """Whether compiled kernels can run that are no operator of PyTorch."""
    if not call.query.is_cpu or unavailable() is not None:
        return False
    return is_eager() and not needs_dispatch(call.query)


def edges_of(mask: Mask | None) -> Edges | None:
    """Return the edges outside which a mask hides everything; None where it lists none."""
    return next((part for part in _conjuncts(mask) if isinstance(part, Edges)), None)


def _conjuncts(mask: Mask | None) -> Iterator[Mask]:
    """Yield the masks that `&` joined."""
    if type(mask) is And:
        yield from _conjuncts(mask.left)
        yield from _conjuncts(mask.right)
    elif mask is not None:
        yield mask


@dataclass(frozen=True, eq=False)
class EdgeLayout:
    """A call of `attend` in the layout of `attend_edges`: one batch axis, one heads axis, heads inside nodes."""

    call: Call
    operands: Operands
    rows: CompressedRows
    pair: EdgePair
    tensors: EdgeTensors
    cells: Pairs
    """Query and key of each edge."""
    added: Tensor | None
    """What bias and other masks add to scores, (*lead or fewer axes or 1s, edges); minus infinity hides."""
    batch: tuple[int, ...]
    """The leading axes of the call that became the batch axis."""
    heads: tuple[int, ...]
    """Those that became the heads axis."""

    @classmethod
    def of(cls, call: Call, operands: Operands, rows: CompressedRows) -> EdgeLayout:
        """Lay out a call whose operands are prepared."""
        cells = Pairs(rows.queries(), rows.keys.long(), call.num_queries, call.num_keys, call.lead)
        score, vector, pair, split = call.score, None, EdgePair("dot"), max(len(call.lead) - 1, 0)
        if isinstance(score, Additive):
            vector, pair = score.vector.to(operands.query.dtype), EdgePair(score.activation)
            # The kernels take one vector per head: where it depends on the sequence too, all axes are heads.
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
        tensors = EdgeTensors(query, key, value, vector=vector, bias=bias)
        return cls(call, operands, rows, pair, tensors, cells, added, batch, heads)

    def excess(self) -> Tensor | None:
        """α − 1 of sparsemax and entmax, (batch, heads) in float64; None for softmax."""
        call = self.call
        if not is_sparse(call.normalizer):
            return None
        found = excess_of_heads(call.normalizer, call.lead, call.query.device)
        return found.reshape(math.prod(self.batch), math.prod(self.heads))

    def unpacked(self, output: Tensor) -> Tensor:
        """(batch, queries, heads, values) -> (*lead, queries, values)."""
        lead = (*self.batch, *self.heads)
        return output.movedim(1, 2).reshape(*lead, output.shape[1], output.shape[-1])

    def spoilt(self) -> Tensor | None:
        """Return which queries may attend to NaN or infinity, (*lead, query); None where there is none."""
        bad_query, bad_key = self.operands.bad_query, self.operands.bad_key
        if bad_query is None or bad_key is None:
            return None
        bad = self.cells.of_queries(bad_query) | self.cells.of_keys(bad_key)
        if self.added is not None:
            bad = bad & (self.added != -torch.inf)
        # Behind the last row there may be positions of no edge.
        real = torch.arange(self.rows.count, device=bad.device) < self.rows.start[-1]
        bad = (bad & real).expand(*self.call.lead, -1).int()
        counts = bad.new_zeros(*self.call.lead, self.call.num_queries)
        return counts.index_add(-1, self.rows.queries(), bad) > 0

    def dense(self, found: Tensor, spoilt: Tensor | None) -> Tensor:
        """Return weights (batch, edges, heads) as a matrix, (*lead, query, key)."""
        found = found.transpose(1, 2).reshape(*self.call.lead, -1)
        sizes = (self.call.num_queries, self.call.num_keys)
        places = self.rows.queries() * self.call.num_keys + self.rows.keys
        # Not a copy: positions of no edge, of weight 0, have the place of the first cell.
        cells = found.new_zeros(*self.call.lead, math.prod(sizes))
        weights: Tensor = cells.index_add(-1, places, found).unflatten(-1, sizes)
        if spoilt is not None:
            weights = torch.where(spoilt[..., None] & (weights != 0), torch.nan, weights)
        return weights.to(self.call.query.dtype)


def _added(call: Call, cells: Pairs, dtype: torch.dtype) -> Tensor | None:
    """Return the bias at the edges, minus infinity where another mask hides; None where there is neither."""
    added = None if call.bias is None else bias_at(call.bias, cells).to(dtype)
    edges = edges_of(call.mask)
    for part in _conjuncts(call.mask):
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
    """(*lead or fewer axes, edges) -> (batch or 1, edges, heads)."""
    own = added.shape[: max(added.ndim - 1 - len(heads), 0)]
    kept = batch if any(size != 1 for size in own) else (1,) * len(batch)
    whole = added.expand(*kept, *heads, added.shape[-1])
    return whole.reshape(math.prod(kept), math.prod(heads), -1).transpose(1, 2)
