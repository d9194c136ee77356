"""Sparsemax and entmax over edges as one differentiable function: kernels, and the same by plain mathematics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.edges.arguments import EdgePair, EdgeTensors
from heedful.ops.backends.edges.dropout import NO_DROPOUT, EdgeDropout, dropout_factors
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
    rows: CompressedRows,
    pair: EdgePair,
    tensors: EdgeTensors,
    excess: Tensor,
    dropout: EdgeDropout = NO_DROPOUT,
) -> tuple[Tensor, Tensor]:
    """Return output and weights under entmax of α = 1 + `excess`, (batch, heads) in float64, without edge features.

    Shapes: (batch, queries, heads, value features) and (batch, edges, heads), the weights those before dropout. Tensors
    are float32 or float64, on the CPU. The weights are kept for the backward pass, nothing that has features per edge.
    """
    query, key, value, vector, _, _, bias = tensors.each()
    arguments = SparseArguments(rows, pair, dropout)
    output, weights = _SparseEdges.apply(arguments, excess, query, key, value, vector, bias)  # type: ignore[no-untyped-call]
    return output, weights


@dataclass(frozen=True, eq=False, slots=True)
class SparseArguments:
    """Non-tensor arguments of both passes."""

    rows: CompressedRows
    pair: EdgePair
    dropout: EdgeDropout

    def work(self, tensors: EdgeTensors, excess: Tensor) -> float:
        """Nanoseconds of the forward pass on one thread."""
        batch, _, heads, _ = tensors.query.shape
        scores = batch * heads * self.rows.count
        return nanoseconds(self.rows, self.pair, tensors) + scores * row_nanoseconds(excess)

    def forward(self, tensors: EdgeTensors, excess: Tensor) -> tuple[Tensor, Tensor]:
        """Output and weights by the kernel."""
        rows, query = self.rows, tensors.query
        batch, queries, heads, _ = query.shape
        output = query.new_empty(batch, queries, heads, tensors.value.shape[3])
        weights = query.new_zeros(batch, rows.count, heads)
        work = self.work(tensors, excess)
        parts = parts_for(work)
        most = int(rows.start.diff().max()) if rows.num_queries else 0
        room = whole_lines(most + TESTED)
        kernel, arguments = prepared(sparse_edges_forward, rows, self.pair, tensors, self.dropout)
        launch(
            kernel, *arguments, excess.view(-1), output.view(-1), weights.view(-1),
            query.new_empty(parts, whole_lines(heads * BLOCK)), query.new_empty(parts, room),
            query.new_empty(parts, room, dtype=torch.float64), query.new_empty(parts, room, dtype=torch.int32),
            work=work, parts=parts,
        )  # fmt: skip
        return output, weights

    def backward(
        self,
        tensors: EdgeTensors,
        excess: Tensor,
        weights: Tensor,
        doutput: Tensor,
        needs_alpha: bool,
    ) -> tuple[Tensor | None, ...]:
        """Gradients of α, query, key, value, vector and bias by the kernel."""
        query, key, value, vector, _, _, bias = tensors.each()
        heads, width = query.shape[2:]
        work = BACKWARD_FACTOR * self.work(tensors, excess)
        parts = min(parts_for(work), max(2, 2 * self.rows.count // max(key.shape[1], 1)))
        dquery, dkeys = torch.empty_like(query), zeros_of_parts(parts, key.numel(), query)
        dvalues = zeros_of_parts(parts, value.numel(), query)
        dvectors = zeros_of_parts(parts, heads * width, query)
        dbias = torch.zeros_like(or_empty(bias, query))
        dalpha = excess.new_empty(query.shape[:3] if needs_alpha else 0)
        kernel, arguments = prepared(
            sparse_edges_backward, self.rows, self.pair, tensors, self.dropout
        )
        launch(
            kernel, *arguments, excess.view(-1), weights.view(-1), doutput.view(-1), torch.empty_like(weights).view(-1),
            query.new_empty(parts, whole_lines(heads * BLOCK)), dquery.view(-1), dkeys, dvalues, dvectors,
            dbias.view(-1), dalpha.view(-1), work=work, parts=parts,
        )  # fmt: skip
        return (
            dalpha.sum(1) if needs_alpha else None,
            dquery,
            summed(dkeys, key),
            summed(dvalues, value),
            None if vector is None else summed(dvectors, vector),
            None if bias is None else dbias,
        )

    def plain(self, tensors: EdgeTensors, excess: Tensor) -> tuple[Tensor, Tensor]:
        """Output and weights by plain mathematics, differentiable any number of times."""
        rows = self.rows
        scores = plain_scores(rows, self.pair, tensors)
        index = rows.queries()
        place = torch.arange(rows.count) - rows.start[index]
        size = rows.num_queries, int(place.max()) + 1 if rows.count else 0
        dense = scores.new_full((scores.shape[0], scores.shape[2], *size), -torch.inf)
        dense = dense.index_put((_all(dense, 0), _all(dense, 1), index, place), scores.mT)
        found = Entmax(1 + excess).weights(dense, dense != -torch.inf)
        weights = found[:, :, index, place].mT
        factors = dropout_factors(self.dropout, rows.count, tensors.query)
        kept = weights if factors is None else weights * factors
        return plain_mix(rows, self.pair, tensors, kept), weights


def _all(tensor: Tensor, axis: int) -> Tensor:
    """Indices of all entries of the first or second of two leading axes, to be broadcast with those of edges."""
    return torch.arange(tensor.shape[axis]).view(-1, *(1,) * (2 - axis))


def _tensors(query: Tensor, key: Tensor, value: Tensor, *rest: Tensor | None) -> EdgeTensors:
    return EdgeTensors(query, key, value, vector=rest[0], bias=rest[1])


class _SparseEdges(torch.autograd.Function):
    """The arguments, α − 1, and query, key, value, vector and bias, to output and weights."""

    @staticmethod
    def forward(
        ctx: Any, arguments: SparseArguments, excess: Tensor, *given: Any
    ) -> tuple[Tensor, Tensor]:
        output, weights = arguments.forward(_tensors(*given).contiguous(), excess.contiguous())
        ctx.arguments = arguments
        ctx.save_for_backward(excess, *given, weights)
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
            return (None,) * 7
        if doutput is None or dweights is not None or torch.is_grad_enabled():

            def function(excess: Tensor, *tensors: Any) -> list[Tensor]:
                made = zip(arguments.plain(_tensors(*tensors), excess), upstream, strict=True)
                return [result for result, above in made if above is not None]

            found = differentiable_gradients(
                function, given, [one for one in upstream if one is not None]
            )
        else:
            excess, tensors = given[0].contiguous(), _tensors(*given[1:]).contiguous()
            above = doutput.resolve_neg().contiguous()
            found = arguments.backward(tensors, excess, weights, above, ctx.needs_input_grad[1])
        return (None, *found)
