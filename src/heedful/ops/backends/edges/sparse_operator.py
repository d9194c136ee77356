"""Sparsemax and entmax over edges as one differentiable function: kernels, and the same by plain mathematics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.edges.arguments import EdgePair, EdgeTensors
from heedful.ops.backends.edges.dropout import NO_DROPOUT
from heedful.ops.backends.edges.launch import (
    BACKWARD_FACTOR,
    nanoseconds,
    or_empty,
    prepared,
    summed,
    zeros_of_parts,
)
from heedful.ops.backends.edges.pair import BLOCK
from heedful.ops.backends.edges.plain import plain_mix, plain_scores
from heedful.ops.backends.edges.sparse import sparse_edges_backward, sparse_edges_forward
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.jit.kernel import launch, parts_for
from heedful.ops.jit.scratch import whole_lines
from heedful.ops.normalizers import Entmax
from heedful.ops.normalizers.sparse_kernel import BLOCK as TESTED
from heedful.ops.normalizers.sparse_kernel import nanoseconds as row_nanoseconds


def sparse_attention(
    rows: CompressedRows, pair: EdgePair, tensors: EdgeTensors, excess: float
) -> tuple[Tensor, Tensor]:
    """Return output and weights under entmax of α = 1 + `excess`, without edge features and dropout.

    Shapes: (batch, queries, heads, value features) and (batch, edges, heads). Tensors are float32 or float64, on the
    CPU. The weights are kept for the backward pass, nothing that has features per edge.
    """
    query, key, value, vector, _, _, bias = tensors.each()
    arguments = SparseArguments(rows, pair, excess)
    output, weights = _SparseEdges.apply(arguments, query, key, value, vector, bias)  # type: ignore[no-untyped-call]
    return output, weights


@dataclass(frozen=True, eq=False, slots=True)
class SparseArguments:
    """Non-tensor arguments of both passes."""

    rows: CompressedRows
    pair: EdgePair
    excess: float

    def work(self, tensors: EdgeTensors) -> float:
        """Nanoseconds of the forward pass on one thread."""
        batch, _, heads, _ = tensors.query.shape
        scores = batch * heads * self.rows.count
        return nanoseconds(self.rows, self.pair, tensors) + scores * row_nanoseconds(self.excess)

    def forward(self, tensors: EdgeTensors) -> tuple[Tensor, Tensor]:
        """Output and weights by the kernel."""
        rows, query = self.rows, tensors.query
        batch, queries, heads, _ = query.shape
        output = query.new_empty(batch, queries, heads, tensors.value.shape[3])
        weights = query.new_zeros(batch, rows.count, heads)
        work = self.work(tensors)
        parts = parts_for(work)
        most = int(rows.start.diff().max()) if rows.num_queries else 0
        room = whole_lines(most + TESTED)
        kernel, arguments = prepared(sparse_edges_forward, rows, self.pair, tensors, NO_DROPOUT)
        launch(
            kernel, *arguments, self.excess, output.view(-1), weights.view(-1),
            query.new_empty(parts, whole_lines(heads * BLOCK)), query.new_empty(parts, room),
            query.new_empty(parts, room, dtype=torch.float64), query.new_empty(parts, room, dtype=torch.int32),
            work=work, parts=parts,
        )  # fmt: skip
        return output, weights

    def backward(
        self, tensors: EdgeTensors, weights: Tensor, doutput: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Gradients of query, key, value, vector and bias by the kernel."""
        query, key, value, vector, _, _, bias = tensors.each()
        heads, width = query.shape[2:]
        work = BACKWARD_FACTOR * self.work(tensors)
        parts = min(parts_for(work), max(2, 2 * self.rows.count // max(key.shape[1], 1)))
        dquery, dkeys = torch.empty_like(query), zeros_of_parts(parts, key.numel(), query)
        dvalues = zeros_of_parts(parts, value.numel(), query)
        dvectors = zeros_of_parts(parts, heads * width, query)
        dbias = torch.zeros_like(or_empty(bias, query))
        kernel, arguments = prepared(
            sparse_edges_backward, self.rows, self.pair, tensors, NO_DROPOUT
        )
        launch(
            kernel, *arguments, self.excess, weights.view(-1), doutput.view(-1), torch.empty_like(weights).view(-1),
            query.new_empty(parts, whole_lines(heads * BLOCK)), dquery.view(-1), dkeys, dvalues, dvectors,
            dbias.view(-1), work=work, parts=parts,
        )  # fmt: skip
        return (
            dquery,
            summed(dkeys, key),
            summed(dvalues, value),
            None if vector is None else summed(dvectors, vector),
            None if bias is None else dbias,
        )

    def plain(self, tensors: EdgeTensors) -> tuple[Tensor, Tensor]:
        """Output and weights by plain mathematics, differentiable any number of times."""
        rows = self.rows
        scores = plain_scores(rows, self.pair, tensors)
        index = rows.queries()
        place = torch.arange(rows.count) - rows.start[index]
        size = rows.num_queries, int(place.max()) + 1 if rows.count else 0
        dense = scores.new_full((scores.shape[0], scores.shape[2], *size), -torch.inf)
        dense = dense.index_put((_all(dense, 0), _all(dense, 1), index, place), scores.mT)
        found = Entmax(1 + self.excess).weights(dense, dense != -torch.inf)
        weights = found[:, :, index, place].mT
        return plain_mix(rows, self.pair, tensors, weights), weights


def _all(tensor: Tensor, axis: int) -> Tensor:
    """Indices of all entries of the first or second of two leading axes, to be broadcast with those of edges."""
    return torch.arange(tensor.shape[axis]).view(-1, *(1,) * (2 - axis))


def _tensors(query: Tensor, key: Tensor, value: Tensor, *rest: Tensor | None) -> EdgeTensors:
    return EdgeTensors(query, key, value, vector=rest[0], bias=rest[1])


class _SparseEdges(torch.autograd.Function):
    """The arguments, and query, key, value, vector and bias, to output and weights."""

    @staticmethod
    def forward(ctx: Any, arguments: SparseArguments, *given: Any) -> tuple[Tensor, Tensor]:
        output, weights = arguments.forward(_tensors(*given).contiguous())
        ctx.arguments = arguments
        ctx.save_for_backward(*given, weights)
        ctx.set_materialize_grads(False)
        return output, weights

    @staticmethod
    def backward(
        ctx: Any, doutput: Tensor | None, dweights: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *given, weights = ctx.saved_tensors
        arguments: SparseArguments = ctx.arguments
        upstream = (doutput, dweights)
        found: Sequence[Tensor | None]
        if doutput is None and dweights is None:
            return (None,) * 6
        if doutput is None or dweights is not None or torch.is_grad_enabled():

            def function(*tensors: Any) -> list[Tensor]:
                made = zip(arguments.plain(_tensors(*tensors)), upstream, strict=True)
                return [result for result, above in made if above is not None]

            found = differentiable_gradients(
                function, given, [one for one in upstream if one is not None]
            )
        else:
            tensors = _tensors(*given).contiguous()
            found = arguments.backward(tensors, weights, doutput.resolve_neg().contiguous())
        return (None, *found)
