"""Recurrent layers over packed sequences, with an explicit backward pass.

At every step PyTorch's backward pass over packed sequences fills a tensor of the size of the whole batch with zeros and
adds to the gradient of the weight. Here the gate gradients of all steps are collected, and the gradient of each weight
is one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from heedful.nn.dropout import dropout
from heedful.nn.recurrent_steps import DIFFERENTIABLE_CELLS, STEP_FUNCTIONS, Hidden, Into
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.products import crossed, linear, product


class Steps(NamedTuple):
    """The order in which a recurrence processes the rows of a packed batch."""

    counts: tuple[int, ...]
    """`PackedSequence.batch_sizes`: the number of sequences longer than t, for each t."""
    reverse: bool
    """Process each sequence from its last element to its first."""

    def slices(self) -> list[slice]:
        """The rows of each step, in processing order."""
        ends = list(accumulate(self.counts))
        rows = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        return rows[::-1] if self.reverse else rows

    def last(self) -> Tensor:
        """The last processed row of each sequence."""
        places = torch.arange(self.counts[0])
        if self.reverse:
            return places
        counts = torch.tensor(self.counts)
        lengths = (counts[:, None] > places).sum(0)
        return counts.cumsum(0)[lengths - 1] - counts[lengths - 1] + places


def packed_layers(kind: str, layers: nn.RNNBase, packed: PackedSequence) -> tuple[Tensor, Hidden]:
    """Apply PyTorch's recurrent `layers`, of the cell `kind`, to packed inputs.

    Returns the states, (packed rows, directions × width), and the final states, each (layers × directions, batch,
    width) with the longest sequence first. Double backward differentiates step by step with autograd.
    """
    counts = tuple(packed.batch_sizes.tolist())
    inputs, weights = packed.data, iter(layers.all_weights)
    final: list[Hidden] = []
    for layer in range(layers.num_layers):
        if layer and layers.training:
            inputs = dropout(inputs, layers.dropout)
        outputs = []
        for reverse in (False, True)[: 2 if layers.bidirectional else 1]:
            weight, recurrent_weight, bias, recurrent_bias = next(weights)
            steps, gates = Steps(counts, reverse), linear(inputs, weight, bias)
            parts: Hidden = _Packed.apply(kind, steps, gates, recurrent_weight, recurrent_bias)  # type: ignore[no-untyped-call]
            outputs.append(parts[0])
            final.append(tuple(part[steps.last()] for part in parts))
        inputs = torch.cat(outputs, dim=1)
    return inputs, tuple(torch.stack(parts) for parts in zip(*final, strict=True))


def _fit(state: Tensor, rows: int) -> Tensor:
    """The first `rows` rows of a state, zero-padded: sequences that start at this step start at zero."""
    if len(state) >= rows:
        return state[:rows]
    return torch.cat([state, state.new_zeros(rows - len(state), state.shape[1])])


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kind: str, steps: Steps, gates: Tensor, weight: Tensor, bias: Tensor
    ) -> Hidden:
        width = weight.shape[1]
        recurrent = torch.empty_like(gates, memory_format=torch.contiguous_format)
        parts = 2 if kind == "lstm" else 1
        before = [gates.new_empty(len(gates), width) for _ in range(parts)]
        after = [torch.empty_like(before[0]) for _ in range(parts)]
        state: Hidden = tuple(gates.new_zeros(0, width) for _ in range(parts))
        kept: list[Tensor] = []
        for rows in steps.slices():
            state = tuple(_fit(part, rows.stop - rows.start) for part in state)
            for whole, part in zip(before, state, strict=True):
                whole[rows] = part
            recurrent[rows] = product(state[0], weight.t(), bias)
            state, needed = STEP_FUNCTIONS[kind].forward(gates[rows], recurrent[rows], state)
            for whole, part in zip(after, state, strict=True):
                whole[rows] = part
            kept.extend(needed)
        ctx.kind, ctx.steps, ctx.parts = kind, steps, parts
        ctx.save_for_backward(gates, weight, bias, recurrent, *before, *kept)
        return tuple(after)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        kind, steps, saved = ctx.kind, ctx.steps, ctx.saved_tensors
        if torch.is_grad_enabled():  # double backward
            return (
                None,
                None,
                *differentiable_gradients(
                    partial(_differentiable, kind, steps), saved[:3], upstream
                ),
            )
        return None, None, *_backward(kind, steps, ctx.parts, (saved[1], *saved[3:]), upstream)


def _differentiable(kind: str, steps: Steps, gates: Tensor, weight: Tensor, bias: Tensor) -> Hidden:
    """The forward pass of `_Packed` in operators that autograd differentiates, step by step."""
    width = weight.shape[1]
    state: Hidden = tuple(gates.new_zeros(0, width) for _ in range(2 if kind == "lstm" else 1))
    made: list[Hidden] = []
    for rows in steps.slices():
        before = tuple(_fit(part, rows.stop - rows.start) for part in state)
        recurrent = torch.nn.functional.linear(before[0], weight, bias)
        state = DIFFERENTIABLE_CELLS[kind](gates[rows], recurrent, before)
        made.append(state)
    ordered = made[::-1] if steps.reverse else made
    return tuple(torch.cat(parts) for parts in zip(*ordered, strict=True))


def _backward(
    kind: str, steps: Steps, parts: int, saved: tuple[Tensor, ...], upstream: Hidden
) -> Iterator[Tensor]:
    """Yield the gradients of the gates, the recurrent weight and its bias."""
    weight, recurrent, before, kept = saved[0], saved[1], saved[2 : 2 + parts], saved[2 + parts :]
    slices = steps.slices()
    count = len(kept) // len(slices)
    gates, through = torch.empty_like(recurrent), torch.empty_like(recurrent)
    carried: Hidden = tuple(part[:0] for part in before)
    for t in range(len(slices) - 1, -1, -1):
        rows = slices[t]
        later = tuple(
            whole[rows] + _fit(part, rows.stop - rows.start)
            for whole, part in zip(upstream, carried, strict=True)
        )
        earlier = tuple(part[rows] for part in before)
        needed = kept[count * t : count * (t + 1)]
        into = Into(gates[rows], through[rows])
        past, *others = STEP_FUNCTIONS[kind].backward(needed, recurrent[rows], earlier, later, into)
        carried = (past.add_(product(into.recurrent, weight)), *others)
    yield from (gates, crossed(through, before[0]), through.sum(0))
