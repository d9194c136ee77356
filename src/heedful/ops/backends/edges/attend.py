"""Attention over listed edges, for the layers for graphs and for the backend `edges` of `heedful.attend`.

Nothing is validated here: the caller has checked shapes and dtypes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from heedful.ops.backends.base import wide_dtype, without_autocast
from heedful.ops.backends.edges.arguments import EdgePair, EdgeTensors
from heedful.ops.backends.edges.dropout import draw_dropout, dropout_factors
from heedful.ops.backends.edges.operator import compiled_attention
from heedful.ops.backends.edges.plain import plain_attention
from heedful.ops.backends.edges.sparse_operator import sparse_attention
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.finite import in_jit_trace, in_torch_func
from heedful.ops.jit.kernel import unavailable
from heedful.ops.observe import ObservedEdges, current_observer

__all__ = [
    "EdgeAttended",
    "EdgePair",
    "EdgePlan",
    "EdgeTensors",
    "attend_edges",
    "edge_attention",
    "listed_edges",
    "plain_attention",
    "plan_edges",
]

COMPILED: Final = "compiled"
PLAIN: Final = "plain"


class EdgeAttended(NamedTuple):
    """What `attend_edges` returns."""

    output: Tensor
    """(batch, queries, heads, value features); 0 for a query without edges."""
    weights: Tensor | None
    """(batch, edges, heads) in the order of the compressed rows, before dropout; None unless needed."""


@dataclass(frozen=True)
class EdgePlan:
    """How `attend_edges` computes a call."""

    backend: str
    """"compiled": kernels compiled for this processor; "plain": PyTorch operations on gathered features."""
    reason: str
    rejected: Mapping[str, str]
    """Why not the other backend."""

    def __str__(self) -> str:
        lines = [f"{self.backend}: {self.reason}"]
        return "\n".join(lines + [f"not {name}: {why}" for name, why in self.rejected.items()])


def attend_edges(
    tensors: EdgeTensors,
    rows: CompressedRows,
    pair: EdgePair,
    *,
    dropout_p: float = 0.0,
    needs_weights: bool = False,
) -> EdgeAttended:
    r"""Attend from each query to the keys of its edges, by softmax.

    .. math:: o_i = \sum_{e \to i} w_e (v_{j(e)} + [W f_e]), \quad w = \mathrm{softmax}_e\, s_e + b_e

    with :math:`s_e = q_i^\top (k_{j(e)} + W f_e)`, or :math:`a^\top \varphi(q_i + k_{j(e)} + W f_e)`.

    An observer (`heedful.ops.observe`) receives the weights. Sums are in float32 or wider; autocast has no effect.

    Args:
        tensors: query, key and value, and what the pair function and the edges add.
        rows: the edges, sorted by query.
        pair: the pair function.
        dropout_p: probability of dropping a weight after the softmax.
        needs_weights: also return the weights. Never changes the output.

    >>> from heedful.ops.csr.rows import compress
    >>> query, key = torch.zeros(1, 2, 1, 3), torch.randn(1, 3, 1, 3)
    >>> rows = compress(torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]), num_queries=2)
    >>> tensors = EdgeTensors(query, key, key)
    >>> output, weights = attend_edges(tensors, rows, EdgePair("dot"), needs_weights=True)
    >>> output.shape, weights.flatten().tolist()
    (torch.Size([1, 2, 1, 3]), [0.5, 0.5, 1.0])
    """
    observer = current_observer()
    if observer is None:
        return edge_attention(tensors, rows, pair, dropout_p=dropout_p, needs_weights=needs_weights)
    output, weights = edge_attention(tensors, rows, pair, dropout_p=dropout_p, needs_weights=True)
    assert weights is not None
    index, listed = listed_edges(rows, weights.detach())
    backend = plan_edges(tensors, rows).backend
    observer(ObservedEdges(index, listed, rows.num_queries, tensors.key.shape[1], backend))
    return EdgeAttended(output, weights if needs_weights else None)


def edge_attention(
    tensors: EdgeTensors,
    rows: CompressedRows,
    pair: EdgePair,
    *,
    dropout_p: float = 0.0,
    needs_weights: bool = False,
    excess: Tensor | None = None,
) -> EdgeAttended:
    """`attend_edges` without an observer, for a caller that informs the observer itself, as `attend` does.

    `excess` is α − 1 of sparsemax and entmax, (batch, heads) in float64, for what the compiled kernels serve; None for
    softmax.
    """
    dtype = tensors.value.dtype
    with without_autocast(tensors.query.device):
        tensors, dropout = tensors.to(wide_dtype(dtype)), draw_dropout(dropout_p)
        weights: Tensor | None
        if excess is not None:
            output, weights = sparse_attention(rows, pair, tensors, excess, dropout)
        elif _not_compiled(tensors.query) is None:
            output, weights = compiled_attention(rows, pair, tensors, dropout, needs_weights)
        else:
            factors = dropout_factors(dropout, rows.count, tensors.query)
            output, weights = plain_attention(rows, pair, tensors, factors)
    if not needs_weights or weights is None:
        return EdgeAttended(output.to(dtype), None)
    return EdgeAttended(output.to(dtype), weights.to(dtype))


def plan_edges(tensors: EdgeTensors, rows: CompressedRows) -> EdgePlan:
    """Return how `attend_edges` would compute a call, and why.

    The choice depends on where and under what the call runs: the pair function, dropout and weights do not change it.

    >>> from heedful.ops.csr.rows import compress
    >>> x, index = torch.ones(1, 3, 2, 4, device="meta"), torch.tensor([0, 1, 2])
    >>> print(plan_edges(EdgeTensors(x, x, x), compress(index, index, num_queries=3)))
    plain: PyTorch operations on gathered features: tensors of edges × heads × features, 24 numbers each
    not compiled: the kernels run on the CPU, and the query is on meta
    """
    why = _not_compiled(tensors.query)
    batch, _, heads, features = tensors.query.shape
    numbers = batch * rows.count * heads * max(features, tensors.value.shape[3])
    size = f"tensors of edges × heads × features, {numbers:,} numbers each"
    if why is None:
        reason = (
            "one pass over the edges of each query, which stores nothing with features per edge"
        )
        return EdgePlan(COMPILED, reason, {PLAIN: f"it serves the call too, but makes {size}"})
    reason = f"PyTorch operations on gathered features: {size}"
    return EdgePlan(PLAIN, reason, {COMPILED: why})


def _not_compiled(query: Tensor) -> str | None:
    """Return why the kernels cannot serve a call; None where they can."""
    if not query.is_cpu:
        return f"the kernels run on the CPU, and the query is on {query.device.type}"
    if in_torch_func():
        return "the kernels cannot be transformed by torch.func (vmap, grad, jvp ...)"
    if not torch.compiler.is_compiling():
        if forward_ad._current_level >= 0:
            return "the kernels have no forward-mode derivative"
        if in_jit_trace():
            return "torch.jit.trace cannot record the kernels; torch.compile and torch.export can"
    return unavailable()


def listed_edges(rows: CompressedRows, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return edges and weights in the order in which the edges were listed, self loops that were added last.

    Args:
        rows: the edges, sorted by query.
        weights: (batch, edges, heads) in the order of the rows.

    Returns:
        Edges (2, edges), int64, row 0 the key and row 1 the query; weights (batch, edges, heads).
    """
    # Behind the last row there may be positions of no edge.
    count = int(rows.start[-1])
    order = rows.edges[:count].argsort()
    index = torch.stack([rows.keys[:count].long(), rows.queries()[:count]])
    return index[:, order], weights[:, order]
