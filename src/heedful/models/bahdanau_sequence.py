"""A whole teacher-forced target in Bahdanau's order as one step of autograd."""

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
    """What every step attends to."""

    key: Tensor
    """(batch, source, features), prepared."""
    values: Tensor
    """(batch, source, width)."""
    keep: Tensor
    """(batch, source), boolean, True = may be attended to."""
    bias: Tensor | None = None
    """(batch, source), added to the scores and left without a gradient, or None."""


class Weights(NamedTuple):
    """What every step multiplies by."""

    vector: Tensor
    """(features,), of the additive score."""
    query: Tensor
    """(hidden, features), of the additive score."""
    context: Tensor
    """(gates, width): the context's columns of the cell's input weight."""
    recurrent: Tensor
    """(gates, hidden)."""
    bias: Tensor
    """(gates,), the recurrent one."""


class Sequence(NamedTuple):
    """What the steps made, time first."""

    tops: Tensor
    """(target, batch, hidden)"""
    contexts: Tensor
    """(target, batch, width)"""
    weights: Tensor
    """(target, batch, source)"""
    final: Hidden
    """Each (batch, hidden)."""
    plan: StepPlan
    """Which steps of attention ran, and why."""


def bahdanau_sequence(
    cell: str, shares: Tensor, hidden: Hidden, memory: Memory, weights: Weights
) -> Sequence:
    r"""Run additive attention and a cell over a whole target.

    .. math:: q_t = W_q^\top h_{t-1},\quad (w_t, c_t) = \mathrm{attention}(q_t),\quad
        g_t = x_t + W_c c_t,\quad m_t = W_r h_{t-1} + b,\quad h_t = \mathrm{cell}(g_t, m_t, h_{t-1})

    The loop is left to nobody: autograd, which would keep (batch, source, features) numbers for every step and
    add up the gradients of weights and memory step by step, sees one function. Backward, from
    :math:`\bar h_t` (that of the states after, joined with the loss's),

    .. math:: (\bar g_t, \bar m_t, \bar h_{t-1}) = \mathrm{cell}'(\bar h_t),\quad
        \bar c_t \mathrel{+}= W_c^\top \bar g_t,\quad \bar q_t = \mathrm{attention}'(\bar c_t),\quad
        \bar h_{t-1} \mathrel{+}= W_q \bar q_t + W_r^\top \bar m_t

    and, since all steps share their weights, each weight's gradient is one product after the loop:

    .. math:: \bar W_q = \sum_t h_{t-1} \bar q_t^\top,\quad \bar W_r = \sum_t \bar m_t h_{t-1}^\top,\quad
        \bar W_c = \sum_t \bar g_t c_t^\top,\quad \bar b = \sum_t \bar m_t,\quad \bar x_t = \bar g_t

    W_q and W_r are multiplied as one matrix, [W_q W_r^T], in both directions. Kept for the backward pass: states,
    contexts, weights, q_t, m_t and the gates, which grow with target × (source + features), and the memory.

    Args:
        cell: "rnn", "lstm" or "gru".
        shares: (target, batch, gates), x_t, the embeddings' share of the gates with the input bias.
        hidden: the state to start from, (h,) or (h, c) of (batch, hidden).
        memory: what is attended to.
        weights: what is multiplied by. Under autocast the products are in its precision.
    """
    kind = shares.device.type
    precision = hidden[0].dtype
    if torch.is_autocast_enabled(kind):
        precision = torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        with torch.no_grad():
            plan = plan_steps(memory.key, _bound(weights.query, hidden[0]))
        outputs = _Sequence.apply(  # type: ignore[no-untyped-call]
            cell, precision, plan, shares.to(hidden[0].dtype), *memory, *weights, *hidden
        )
    tops, contexts, attention, *cells = outputs
    return Sequence(tops, contexts, attention, (tops[-1], *(each[-1] for each in cells)), plan)


@dataclass(frozen=True, eq=False)
class _Products:
    """The two products of a step, their weights cast once to the precision that they are taken in."""

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

    def turned(self) -> _Products:
        """As the way back multiplies: what is turned there lies turned, which oneDNN multiplies by faster."""
        mixing, context = (each.t().contiguous().t() for each in (self.mixing, self.context))
        return _Products(mixing, self.bias, context)


def _times(left: Tensor, right: Tensor) -> Tensor:
    """A product in the precision of `right`, its result in that of `left`."""
    return product(left.to(right.dtype), right).to(left.dtype)


def _summed(left: Tensor, right: Tensor, precision: torch.dtype) -> Tensor:
    """Σ leftᵀ · right over all steps and sentences, multiplied in `precision`."""
    flat = (each.flatten(0, 1).to(precision) for each in (left, right))
    return crossed(*flat).to(left.dtype)


def _bound(query_weight: Tensor, hidden: Tensor) -> Tensor:
    """What no query's feature will exceed: every cell's state stays within 1, or within where it started."""
    reach = hidden.abs().amax().clamp(min=1.0) if hidden.numel() else hidden.new_ones(())
    return query_weight.abs().sum(0).amax() * reach


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        precision: torch.dtype,
        plan: StepPlan,
        shares: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        memory, weights, hidden = Memory(*tensors[:4]), Weights(*tensors[4:9]), tensors[9:]
        products = _Products.of(weights, precision)
        held = memory.key, weights.vector, memory.values, memory.keep
        steps = build_steps(plan, *held, memory.bias)
        target, batch, features = *shares.shape[:2], weights.query.shape[1]
        attention = shares.new_empty(target, batch, memory.key.shape[1])
        contexts = shares.new_empty(target, batch, memory.values.shape[2])
        mixed = shares.new_empty(target, batch, len(products.bias))
        states: list[Hidden] = []
        kept: list[Tensor] = []
        for t in range(target):
            torch.add(_times(hidden[0], products.mixing.t()), products.bias, out=mixed[t])
            steps.forward(mixed[t, :, :features], attention[t], contexts[t])
            gates = _times(contexts[t], products.context.t()).add_(shares[t])
            hidden, needed = STEP_FUNCTIONS[cell].forward(gates, mixed[t, :, features:], hidden)
            states.append(hidden)
            kept.extend(needed)
        stacks = [torch.stack(parts) for parts in zip(*states, strict=True)]
        ctx.cell, ctx.precision, ctx.plan, ctx.parts = cell, precision, plan, len(stacks)
        ctx.save_for_backward(*tensors, attention, contexts, mixed, *stacks, *kept, shares)
        return stacks[0], contexts, attention, *stacks[1:]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        saved, parts = ctx.saved_tensors, ctx.parts
        after = 9 + parts
        if torch.is_grad_enabled():  # to be differentiated again
            inputs = (saved[-1], *saved[:after])
            return (
                None,
                None,
                None,
                *differentiable_gradients(partial(_seen, ctx.cell), inputs, upstream),
            )
        made = _Made(
            Memory(*saved[:4]),
            Weights(*saved[4:9]),
            saved[9:after],
            saved[after],
            saved[after + 1],
            saved[after + 2],
            saved[after + 3 : after + 3 + parts],
            saved[after + 3 + parts : -1],
        )
        return None, None, None, *_backward(ctx.cell, ctx.precision, ctx.plan, made, upstream)


def _seen(cell: str, shares: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """What `_Sequence` makes, step by step before autograd's eyes."""
    memory, weights, hidden = Memory(*tensors[:4]), Weights(*tensors[4:9]), tensors[9:]
    made: list[tuple[Tensor, ...]] = []
    for share in shares.unbind(0):
        scores = torch.tanh((hidden[0] @ weights.query)[:, None] + memory.key) @ weights.vector
        if memory.bias is not None:
            scores = scores + memory.bias
        # Finite, so that a sentence without anything to attend to has derivatives: zeros.
        scores = scores.masked_fill(~memory.keep, torch.finfo(scores.dtype).min)
        attention = torch.softmax(scores, dim=-1) * memory.keep
        context = (attention[:, None] @ memory.values).squeeze(1)
        recurrent = hidden[0] @ weights.recurrent.t() + weights.bias
        hidden = DIFFERENTIABLE_CELLS[cell](
            share + context @ weights.context.t(), recurrent, hidden
        )
        made.append((hidden[0], context, attention, *hidden[1:]))
    return tuple(torch.stack(parts) for parts in zip(*made, strict=True))


class _Made(NamedTuple):
    """What the loop forward kept."""

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
    made: _Made,
    upstream: tuple[Tensor, ...],
) -> tuple[Tensor | None, ...]:
    """The loop back, then the gradients of what all steps share."""
    memory, weights = made.memory, made.weights
    products = _Products.of(weights, precision).turned()
    # Contiguous, since the kernels ask for it, and changed in place.
    contexts, rows = (each.clone(memory_format=torch.contiguous_format) for each in upstream[1:3])
    steps = build_steps(plan, memory.key, weights.vector, memory.values, memory.keep)
    steps.begin_backward()
    target, features = len(made.mixed), weights.query.shape[1]
    mixed = torch.empty_like(made.mixed)
    gates = mixed.new_empty(*mixed.shape[:2], len(weights.bias))
    count = len(made.kept) // target
    carried: Hidden = tuple(torch.zeros_like(each) for each in made.hidden)
    for t in range(target - 1, -1, -1):
        before = tuple(each[t - 1] for each in made.stacks) if t else made.hidden
        later = (upstream[0], *upstream[3:])
        later_now = tuple(own + all_steps[t] for own, all_steps in zip(carried, later, strict=True))
        kept = made.kept[count * t : count * (t + 1)]
        into = Into(gates[t], mixed[t, :, features:])
        past, *others = STEP_FUNCTIONS[cell].backward(
            kept, made.mixed[t, :, features:], before, later_now, into
        )
        contexts[t] += _times(into.gates, products.context)
        mixed[t, :, :features] = steps.backward(
            made.mixed[t, :, :features], made.attention[t], contexts[t], rows[t]
        )
        carried = (past.add_(_times(mixed[t], products.mixing)), *others)
    return gates, *_shared(made, steps, gates, mixed, contexts, precision), *carried


def _shared(
    made: _Made,
    steps: AdditiveSteps,
    gates: Tensor,
    mixed: Tensor,
    contexts: Tensor,
    precision: torch.dtype,
) -> Iterator[Tensor | None]:
    """The gradients of `Memory` and `Weights`, from those of all steps."""
    key, vector = steps.finish_backward()
    yield from (key, made.attention.permute(1, 2, 0) @ contexts.transpose(0, 1), None, None)
    befores = torch.cat([made.hidden[0][None], made.stacks[0][:-1]])
    mixing = _summed(mixed, befores, precision)
    features = len(vector)
    yield from (vector, mixing[:features].t(), _summed(gates, made.contexts, precision))
    yield from (mixing[features:], mixed[:, :, features:].sum((0, 1)))
