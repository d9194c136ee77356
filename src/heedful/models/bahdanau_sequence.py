"""Bahdanau attention and recurrent cell over a whole target as one autograd function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from heedful.nn.recurrent import Hidden
from heedful.nn.recurrent_steps import DIFFERENTIABLE_CELLS, STEP_FUNCTIONS, Into
from heedful.ops.backends.additive.steps import AdditiveSteps, StepPlan, build_steps, plan_steps
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.products import crossed, product


class Memory(NamedTuple):
    """Source positions that every step attends to."""

    key: Tensor
    """(batch, source, features), prepared."""
    values: Tensor
    """(batch, source, width)."""
    keep: Tensor
    """(batch, source), boolean, False: masked."""
    bias: Tensor | None = None
    """(batch, source), added to the scores without gradient, or None."""


class Weights(NamedTuple):
    """Weights shared by all steps."""

    vector: Tensor
    """(features,), of the additive score."""
    query: Tensor
    """(hidden, features), of the additive score."""
    context: Tensor
    """(gates, width): the columns of the cell's input weight for the context."""
    recurrent: Tensor
    """(gates, hidden)."""
    bias: Tensor
    """(gates,), the recurrent bias."""


class Output(NamedTuple):
    """Output of all steps, time first."""

    tops: Tensor
    """(target, batch, hidden)"""
    contexts: Tensor
    """(target, batch, width)"""
    weights: Tensor
    """(target, batch, source)"""
    final: Hidden
    """Each (batch, hidden)."""
    plan: StepPlan
    """The selected implementation of attention steps, with reasons."""


def bahdanau_sequence(
    cell: str, input_gates: Tensor, hidden: Hidden, memory: Memory, weights: Weights
) -> Output:
    r"""Run additive attention and a cell over a whole target.

    .. math:: q_t = W_q^\top h_{t-1},\quad (w_t, c_t) = \mathrm{attention}(q_t),\quad
        g_t = x_t + W_c c_t,\quad m_t = W_r h_{t-1} + b,\quad h_t = \mathrm{cell}(g_t, m_t, h_{t-1})

    Autograd on the loop would store (batch, source, features) numbers for every step and accumulate the gradients of
    weights and memory step by step. Backward here, from :math:`\bar h_t` (of the loss and of later states):

    .. math:: (\bar g_t, \bar m_t, \bar h_{t-1}) = \mathrm{cell}'(\bar h_t),\quad
        \bar c_t \mathrel{+}= W_c^\top \bar g_t,\quad \bar q_t = \mathrm{attention}'(\bar c_t),\quad
        \bar h_{t-1} \mathrel{+}= W_q \bar q_t + W_r^\top \bar m_t

    and, since all steps share the weights, one product for each weight after the loop:

    .. math:: \bar W_q = \sum_t h_{t-1} \bar q_t^\top,\quad \bar W_r = \sum_t \bar m_t h_{t-1}^\top,\quad
        \bar W_c = \sum_t \bar g_t c_t^\top,\quad \bar b = \sum_t \bar m_t,\quad \bar x_t = \bar g_t

    W_q and W_r are multiplied as one matrix, [W_q W_r^T], in both directions. Saved for the backward pass: the memory,
    and states, contexts, weights, q_t, m_t and gates, of size target × (source + features).

    Args:
        cell: "rnn", "lstm" or "gru".
        input_gates: (target, batch, gates), x_t, the embeddings' part of the gates including the input bias.
        hidden: the initial state, (h,) or (h, c) of (batch, hidden).
        memory: keys, values and mask of the source.
        weights: the shared weights; products are computed in the autocast dtype, if enabled.
    """
    kind = input_gates.device.type
    precision = hidden[0].dtype
    if torch.is_autocast_enabled(kind):
        precision = torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        with torch.no_grad():
            plan = plan_steps(memory.key, _bound(weights.query, hidden[0]))
        outputs = _Sequence.apply(  # type: ignore[no-untyped-call]
            cell, precision, plan, input_gates.to(hidden[0].dtype), *memory, *weights, *hidden
        )
    tops, contexts, attention, *cells = outputs
    return Output(tops, contexts, attention, (tops[-1], *(each[-1] for each in cells)), plan)


@dataclass(frozen=True, eq=False)
class _Products:
    """Weights of the two products of a step, cast once to `precision`."""

    mixing: Tensor
    """(features + gates, hidden)"""
    bias: Tensor
    """(features + gates,)"""
    context: Tensor
    """(gates, width)"""

    @classmethod
    def of(cls, weights: Weights, precision: torch.dtype) -> _Products:
        return cls(
            torch.cat([weights.query.t(), weights.recurrent]).to(precision),
            torch.cat([weights.bias.new_zeros(weights.query.shape[1]), weights.bias]),
            weights.context.to(precision).contiguous(),
        )

    def for_backward(self) -> _Products:
        """Return equal weights stored transposed, which is faster for the transposed products of oneDNN."""
        mixing, context = (each.t().contiguous().t() for each in (self.mixing, self.context))
        return _Products(mixing, self.bias, context)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return left · right, computed in the dtype of `right` and returned in that of `left`."""
    return product(left.to(right.dtype), right).to(left.dtype)


def _sum_product(left: Tensor, right: Tensor, precision: torch.dtype) -> Tensor:
    """Return Σ leftᵀ · right over steps and batch, computed in `precision`."""
    flat = (each.flatten(0, 1).to(precision) for each in (left, right))
    return crossed(*flat).to(left.dtype)


def _bound(query_weight: Tensor, hidden: Tensor) -> Tensor:
    """Return a bound on query features: cell outputs are within 1, or within the initial state."""
    largest = hidden.abs().amax().clamp(min=1.0) if hidden.numel() else hidden.new_ones(())
    return query_weight.abs().sum(0).amax() * largest


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        precision: torch.dtype,
        plan: StepPlan,
        input_gates: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        memory, weights, hidden = (
            Memory(*tensors[:4]),
            Weights(*tensors[4:9]),
            tensors[9:],
        )
        products = _Products.of(weights, precision)
        operands = memory.key, weights.vector, memory.values, memory.keep
        steps = build_steps(plan, *operands, memory.bias)
        target, batch, features = *input_gates.shape[:2], weights.query.shape[1]
        attention = input_gates.new_empty(target, batch, memory.key.shape[1])
        contexts = input_gates.new_empty(target, batch, memory.values.shape[2])
        mixed = input_gates.new_empty(target, batch, len(products.bias))
        states: list[Hidden] = []
        kept: list[Tensor] = []
        for t in range(target):
            torch.add(_product(hidden[0], products.mixing.t()), products.bias, out=mixed[t])
            steps.forward(mixed[t, :, :features], attention[t], contexts[t])
            gates = _product(contexts[t], products.context.t()).add_(input_gates[t])
            hidden, saved = STEP_FUNCTIONS[cell].forward(gates, mixed[t, :, features:], hidden)
            states.append(hidden)
            kept.extend(saved)
        stacks = [torch.stack(parts) for parts in zip(*states, strict=True)]
        ctx.cell, ctx.precision, ctx.plan, ctx.parts = cell, precision, plan, len(stacks)
        ctx.save_for_backward(*tensors, attention, contexts, mixed, *stacks, *kept, input_gates)
        return stacks[0], contexts, attention, *stacks[1:]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        tensors, parts = ctx.saved_tensors, ctx.parts
        after = 9 + parts
        if torch.is_grad_enabled():  # create_graph=True
            inputs = (tensors[-1], *tensors[:after])
            return (
                None,
                None,
                None,
                *differentiable_gradients(partial(_reference, ctx.cell), inputs, upstream),
            )
        saved = _Saved(
            Memory(*tensors[:4]),
            Weights(*tensors[4:9]),
            tensors[9:after],
            tensors[after],
            tensors[after + 1],
            tensors[after + 2],
            tensors[after + 3 : after + 3 + parts],
            tensors[after + 3 + parts : -1],
        )
        return None, None, None, *_backward(ctx.cell, ctx.precision, ctx.plan, saved, upstream)


def _reference(cell: str, input_gates: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Compute the outputs of `_Sequence` step by step with autograd."""
    memory, weights, hidden = (
        Memory(*tensors[:4]),
        Weights(*tensors[4:9]),
        tensors[9:],
    )
    outputs: list[tuple[Tensor, ...]] = []
    for gate_input in input_gates.unbind(0):
        scores = torch.tanh((hidden[0] @ weights.query)[:, None] + memory.key) @ weights.vector
        if memory.bias is not None:
            scores = scores + memory.bias
        # Finite, so that the gradients of fully masked sentences are zero, not NaN.
        scores = scores.masked_fill(~memory.keep, torch.finfo(scores.dtype).min)
        attention = torch.softmax(scores, dim=-1) * memory.keep
        context = (attention[:, None] @ memory.values).squeeze(1)
        recurrent = hidden[0] @ weights.recurrent.t() + weights.bias
        hidden = DIFFERENTIABLE_CELLS[cell](
            gate_input + context @ weights.context.t(), recurrent, hidden
        )
        outputs.append((hidden[0], context, attention, *hidden[1:]))
    return tuple(torch.stack(parts) for parts in zip(*outputs, strict=True))


class _Saved(NamedTuple):
    """Tensors saved by the forward pass."""

    memory: Memory
    weights: Weights
    hidden: Hidden
    attention: Tensor
    contexts: Tensor
    mixed: Tensor
    stacks: Hidden
    """The states after each step: (target, batch, hidden) each."""
    kept: tuple[Tensor, ...]


def _backward(
    cell: str,
    precision: torch.dtype,
    plan: StepPlan,
    saved: _Saved,
    upstream: tuple[Tensor, ...],
) -> tuple[Tensor | None, ...]:
    """Run the loop backwards, then compute the gradients of shared tensors."""
    memory, weights = saved.memory, saved.weights
    products = _Products.of(weights, precision).for_backward()
    # Contiguous for the kernels, and copies because they are modified in place.
    contexts, rows = (each.clone(memory_format=torch.contiguous_format) for each in upstream[1:3])
    steps = build_steps(plan, memory.key, weights.vector, memory.values, memory.keep)
    steps.begin_backward()
    target, features = len(saved.mixed), weights.query.shape[1]
    mixed = torch.empty_like(saved.mixed)
    gates = mixed.new_empty(*mixed.shape[:2], len(weights.bias))
    count = len(saved.kept) // target
    carry: Hidden = tuple(torch.zeros_like(each) for each in saved.hidden)
    for t in range(target - 1, -1, -1):
        before = tuple(each[t - 1] for each in saved.stacks) if t else saved.hidden
        later = (upstream[0], *upstream[3:])
        later_now = tuple(own + all_steps[t] for own, all_steps in zip(carry, later, strict=True))
        kept = saved.kept[count * t : count * (t + 1)]
        into = Into(gates[t], mixed[t, :, features:])
        past, *others = STEP_FUNCTIONS[cell].backward(
            kept, saved.mixed[t, :, features:], before, later_now, into
        )
        contexts[t] += _product(into.gates, products.context)
        mixed[t, :, :features] = steps.backward(
            saved.mixed[t, :, :features], saved.attention[t], contexts[t], rows[t]
        )
        carry = (past.add_(_product(mixed[t], products.mixing)), *others)
    return gates, *_shared(saved, steps, gates, mixed, contexts, precision), *carry


def _shared(
    saved: _Saved,
    steps: AdditiveSteps,
    gates: Tensor,
    mixed: Tensor,
    contexts: Tensor,
    precision: torch.dtype,
) -> Iterator[Tensor | None]:
    """Yield the gradients of `Memory` and `Weights` from those of all steps."""
    key, vector = steps.finish_backward()
    yield from (key, saved.attention.permute(1, 2, 0) @ contexts.transpose(0, 1), None, None)
    befores = torch.cat([saved.hidden[0][None], saved.stacks[0][:-1]])
    mixing = _sum_product(mixed, befores, precision)
    features = len(vector)
    yield from (vector, mixing[:features].t(), _sum_product(gates, saved.contexts, precision))
    yield from (mixing[features:], mixed[:, :, features:].sum((0, 1)))
