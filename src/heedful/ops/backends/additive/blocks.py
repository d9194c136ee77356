"""Additive scores under softmax, block by block, with a derivative written by hand: what `chunked` does most often.

PyTorch's checkpointing serves every combination, at a fixed price for each block. Here each pass knows what it needs:
the backward pass computes a block's scores and weights again and hands their gradient straight to the kernel. Nothing
that grows as queries × keys is kept, not even the normalizing sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.additive.scores import has_fast_pair, scores_backward, scores_forward
from heedful.ops.backends.reference import Operands, attend_rows
from heedful.ops.call import Attended, bias_at
from heedful.ops.double_backward import alias_for_grad
from heedful.ops.normalizers import Softmax
from heedful.ops.products import stacked
from heedful.ops.rows import Rows
from heedful.ops.scores import Additive

BLOCK_BYTES = 2 * 2**20
"""What one block's scores take, as long as that leaves it `FEWEST_ROWS`: several such stay in the outer cache."""
ACCELERATOR_BLOCK_BYTES = 16 * 2**20
FEWEST_ROWS = 64
"""Keys are prepared for each block of queries anew, so that a block is worth while from about so many."""

Place = tuple[slice, ...]


def serves(operands: Operands) -> bool:
    """Whether a call may go this way; without it everything is done, more slowly, by the general one."""
    call = operands.call
    learned = isinstance(call.bias, Tensor) and call.bias.requires_grad
    if call.bias is not None and not isinstance(call.bias, Tensor):
        learned = any(tensor.requires_grad for tensor in call.bias.tensors())
    return (
        operands.fast
        and type(call.score) is Additive
        and has_fast_pair(call.score, call.query.device)
        and type(call.normalizer) is Softmax
        and not (call.dropout_p or learned)
        and operands.bad_query is None
    )


def attend_softmax(operands: Operands) -> Attended:
    """The call's result."""
    call = operands.call
    assert isinstance(call.score, Additive)
    block = BLOCK_BYTES if call.query.is_cpu else ACCELERATOR_BLOCK_BYTES
    job = Job(operands, call.score.activation, block // operands.query.itemsize)
    vector = call.score.vector.to(operands.query.dtype)
    tensors = (operands.query, operands.key, operands.value, vector)
    if call.needs_gradient:
        output, weights = _SoftmaxBlocks.apply(job, *tensors)  # type: ignore[no-untyped-call]
    else:
        output, weights = job.forward(*tensors)
    dtype = call.query.dtype
    return Attended(output.to(dtype), None if weights is None else weights.to(dtype))


@dataclass(frozen=True, eq=False)
class Job:
    """What is fixed for both passes."""

    operands: Operands
    activation: str
    block_cells: int
    """How many scores exist at a time."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, vector: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The whole output, (*lead, query, value), and the weights if they are asked for."""
        rows, asked = self.operands.call.rows, self.operands.call.return_weights
        output = whole = None
        for block in self.blocks():
            weights = self.weights(block, query, key, vector)
            mixed = stacked(weights, block.keys(value))
            if block.is_whole:
                return mixed, weights if asked else None
            if output is None:
                output = query.new_empty(*rows.lead, rows.num_queries, value.shape[-1])
                whole = query.new_empty(rows.shape) if asked else None
            block.queries(output).copy_(mixed)
            if whole is not None:
                block.queries(whole).copy_(weights)
        assert output is not None
        return output, whole

    def weights(self, block: Block, query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
        """The weights of one block."""
        a, b, v = block.queries(query), block.keys(key), block.of(vector, 1)
        scores = scores_forward(a, b, v, self.activation)
        scores = scores.expand(*block.lead, *scores.shape[-2:])
        if block.bias is not None:
            scores = scores + block.of(block.bias, 2)
        return Softmax().weights(scores, None if block.keep is None else block.of(block.keep, 2))

    def backward(
        self,
        tensors: tuple[Tensor, Tensor, Tensor, Tensor],
        upstream: Tensor,
        of_weights: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Gradients of query, key, value and vector from those of the output and the weights."""
        sums: list[Tensor] = []
        for block in self.blocks():
            found = self.block_gradients(block, tensors, upstream, of_weights)
            if block.is_whole:
                return found
            if not sums:
                sums = [t.new_zeros(t.shape) for t in tensors]
            query, key, value, vector = sums
            places = (block.queries(query), block.keys(key), block.keys(value), block.of(vector, 1))
            for into, part in zip(places, found, strict=True):
                into += part.sum_to_size(into.shape)
        return tuple(sums)

    def block_gradients(
        self,
        block: Block,
        tensors: tuple[Tensor, Tensor, Tensor, Tensor],
        upstream: Tensor,
        of_weights: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """What one block adds to the gradients."""
        query, key, value, vector = tensors
        weights = self.weights(block, query, key, vector)
        above, values = block.queries(upstream), block.keys(value)
        inner = stacked(above, values.mT)
        if of_weights is not None:
            inner = inner + block.queries(of_weights)
        inner = torch._softmax_backward_data(inner, weights, -1, weights.dtype)
        a, b, v = block.queries(query), block.keys(key), block.of(vector, 1)
        of_query, of_key, of_vector = scores_backward(a, b, v, self.activation, inner)
        return of_query, of_key, stacked(weights.mT, above).sum_to_size(values.shape), of_vector

    def blocks(self) -> Iterator[Block]:
        """All blocks: as few sequences and heads at a time as leaves `FEWEST_ROWS` queries to each."""
        call, rows = self.operands.call, self.operands.call.rows
        fewest = min(FEWEST_ROWS, rows.num_queries)
        places, units = split_lead(rows.lead, self.block_cells // (fewest * rows.num_keys))
        step = max(fewest, self.block_cells // (units * rows.num_keys))
        for start in range(0, rows.num_queries, step):
            part = rows.block(start, min(start + step, rows.num_queries))
            keep = None if call.mask is None else call.mask.tile(part)
            bias = None
            if call.bias is not None:
                bias = bias_at(call.bias, part).to(self.operands.query.dtype)
                opened = bias != -torch.inf
                keep = opened if keep is None else keep & opened
            for place in places:
                yield Block(part, place, keep, bias)


@dataclass(frozen=True, eq=False)
class Block:
    """Some query rows of some places of the leading axes, with all their keys."""

    rows: Rows
    place: Place
    keep: Tensor | None
    bias: Tensor | None

    @property
    def lead(self) -> tuple[int, ...]:
        """Sizes of the leading axes inside the block."""
        sizes = zip(self.place, self.rows.lead, strict=True)
        return tuple(len(range(*part.indices(size))) for part, size in sizes)

    @property
    def is_whole(self) -> bool:
        """Whether there is no other block."""
        return self.rows.is_all and self.lead == self.rows.lead

    def of(self, tensor: Tensor, trailing: int) -> Tensor:
        """The part of a tensor at the block's leading axes; axes of size 1 are shared, `trailing` ones whole."""
        axes = tensor.ndim - trailing
        if axes <= 0:
            return tensor
        own = zip(self.place[-axes:], tensor.shape[:axes], strict=True)
        return tensor[tuple(part if size > 1 else slice(None) for part, size in own)]

    def keys(self, tensor: Tensor) -> Tensor:
        """The part of (*lead, key, features)."""
        return self.of(tensor, 2)

    def queries(self, tensor: Tensor) -> Tensor:
        """The part of (*lead, query, features)."""
        if self.rows.is_all:
            return self.of(tensor, 2)
        return self.of(tensor, 2)[..., self.rows.start : self.rows.stop, :]


def split_lead(lead: tuple[int, ...], units: int) -> tuple[list[Place], int]:
    """Cut leading axes, the first ones first, into places of at most so many units (at least 1): places, their units.

    >>> split_lead((4, 3), 6)
    ([(slice(0, 2, None), slice(0, 3, None)), (slice(2, 4, None), slice(0, 3, None))], 6)
    """
    inside, held, cuts = prod(lead), 1, []
    for size in lead:
        inside //= size
        step = min(size, max(1, units // inside))
        held *= step
        cuts.append([slice(first, min(first + step, size)) for first in range(0, size, step)])
    return list(product(*cuts)), held


class _SoftmaxBlocks(torch.autograd.Function):
    """`Job` for autograd; the second derivative is taken by plain mathematics."""

    @staticmethod
    def forward(
        ctx: Any, job: Job, query: Tensor, key: Tensor, value: Tensor, vector: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        ctx.job = job
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(query, key, value, vector)
        return job.forward(query, key, value, vector)

    @staticmethod
    def backward(
        ctx: Any, upstream: Tensor | None, of_weights: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        if upstream is None:
            rows, value = ctx.job.operands.call.rows, tensors[2]
            upstream = value.new_zeros(*rows.lead, rows.num_queries, value.shape[-1])
        if torch.is_grad_enabled():
            return None, *_plain_gradients(ctx.job, tensors, upstream, of_weights)
        return None, *ctx.job.backward(tensors, upstream, of_weights)


def _plain_gradients(
    job: Job, tensors: tuple[Tensor, ...], upstream: Tensor, of_weights: Tensor | None
) -> list[Tensor | None]:
    """The gradients as functions of the tensors that autograd knows, by the formulas of `reference`."""
    own = [alias_for_grad(tensor) for tensor in tensors]
    query, key, value, vector = own
    call = job.operands.call
    assert isinstance(call.score, Additive)
    plain = replace(call, score=replace(call.score, vector=vector))
    operands = replace(job.operands, call=plain, query=query, key=key, value=value, fast=False)
    output, weights = attend_rows(operands, call.rows, query, of_weights is not None)
    outputs, above = [output], [upstream.to(output.dtype)]
    if weights is not None and of_weights is not None:
        outputs, above = [output, weights], [*above, of_weights.to(weights.dtype)]
    wanted = [tensor for tensor in own if tensor.requires_grad]
    found = iter(torch.autograd.grad(outputs, wanted, above, create_graph=True))
    return [next(found) if tensor.requires_grad else None for tensor in tensors]
