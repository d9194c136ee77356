"""Differentiable matrices of additive scores by compiled kernels, without an intermediate queries × keys × hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.additive import gpu as additive_gpu
from heedful.ops.backends.additive.layout import Layout, dense, flat, is_by_unit, layout_of, summed
from heedful.ops.backends.additive.matrices import (
    gradients_kernel,
    gradients_numbers,
    scores_kernel,
    scores_numbers,
)
from heedful.ops.jit.kernel import Argument, launch, parts_for, unavailable
from heedful.ops.jit.operators import Operator
from heedful.ops.jit.scratch import scratch
from heedful.ops.scores import Additive, Score
from heedful.ops.scores.additive import ACTIVATIONS

FORWARD_NANOSECONDS, BACKWARD_NANOSECONDS = 0.025, 0.06
"""Nanoseconds of one feature of a pair on one core in float32."""
ROWS, NUMBERS = 128, 32768
"""Maximum rows, and elements of features, of a block."""
SLOPES = additive_gpu.SLOPES


def refusal(device: torch.device) -> str | None:
    """Return None if the kernels run on the device, otherwise the reason why not."""
    if takes_triton(device):
        return additive_gpu.unavailable()
    if device.type != "cpu":
        return f"the compiled kernels run on a processor and on CUDA, and the tensors are on {device.type}"
    return unavailable()


def takes_triton(device: torch.device) -> bool:
    """Whether the Triton kernels are used on the device."""
    return device.type == "cuda"


def has_fast_pair(score: Score, device: torch.device) -> bool:
    """Whether a compiled kernel computes the score's pair on tensors of the device."""
    return type(score) is Additive and refusal(device) is None


def fast_pair(score: Score, query: Tensor, key: Tensor) -> Tensor:
    """`score.pair` in float32 or float64, by a compiled kernel if there is one, traced as a single operator."""
    if isinstance(score, Additive) and has_fast_pair(score, query.device):
        return additive_scores(query, key, score.vector.to(query.dtype), score.activation)
    return score.pair(query, key)


def additive_scores(query: Tensor, key: Tensor, vector: Tensor, activation: str) -> Tensor:
    r"""s_qk = Σ_h v_h φ(a_qh + b_kh), φ tanh or leaky_relu with slope 0.2.

    `query` a is (*lead, query, hidden), `key` b (*lead, key, hidden) and `vector` v (*lead, hidden). Leading axes
    broadcast without copies, and overlapping views are not copied. The result is (*lead, query, key). Only the three
    inputs are saved for the backward pass. Double backward uses plain mathematics.

    >>> import torch
    >>> query, key = torch.zeros(2, 1, 3), torch.tensor([[1.0, 0.0, -1.0], [9.0, 0.0, 0.0]])
    >>> additive_scores(query, key, torch.ones(3), "tanh").round(decimals=3).tolist()
    [[[0.0, 1.0]], [[0.0, 1.0]]]
    """
    scores: Tensor = SCORES(query, key, vector, activation)
    return scores


def scores_forward(query: Tensor, key: Tensor, vector: Tensor, activation: str) -> Tensor:
    """`additive_scores` without a gradient."""
    if takes_triton(query.device):
        return additive_gpu.scores_forward(query, key, vector, activation)
    query, key, vector = dense(query), dense(key), dense(vector)
    layout = _layout(query, key, vector)
    scores = query.new_empty(layout.pairs)
    work = layout.pairs * layout.hidden * FORWARD_NANOSECONDS
    parts = parts_for(work)
    rows = _rows(-(-layout.units * layout.queries // parts), layout)
    launch(
        scores_kernel,
        *_arguments(query, key, vector, layout, activation),
        rows,
        scores,
        scratch(parts, scores_numbers(rows, layout.hidden), query.dtype),
        work=work,
        parts=parts,
    )
    return scores.view(*layout.lead, layout.queries, layout.keys)


def scores_backward(
    query: Tensor, key: Tensor, vector: Tensor, activation: str, upstream: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of query, key and vector from `upstream`, the gradient of the scores (*lead, query, key)."""
    if takes_triton(query.device):
        return additive_gpu.scores_backward(query, key, vector, activation, upstream)
    query, key, vector = dense(query), dense(key), dense(vector)
    layout = _layout(query, key, vector)
    units, hidden = layout.units, layout.hidden
    work = layout.pairs * hidden * BACKWARD_NANOSECONDS
    parts = parts_for(work)
    by_unit = is_by_unit(units, layout.queries, parts)
    rows = _rows(layout.queries if by_unit else -(-layout.queries // parts), layout)
    of_query = query.new_empty(1, units * layout.queries * hidden)
    of_key = query.new_zeros(1 if by_unit else parts, units * layout.keys * hidden)
    of_vector = query.new_zeros(parts, vector.numel())
    launch(
        gradients_kernel,
        *_arguments(query, key, vector, layout, activation),
        rows,
        by_unit,
        upstream.resolve_neg().contiguous().view(-1),
        of_query.view(-1),
        of_key,
        of_vector,
        scratch(parts, gradients_numbers(rows, hidden), query.dtype),
        work=work,
        parts=parts,
    )
    return (
        summed(of_query, (*layout.lead, layout.queries, hidden), query.shape),
        summed(of_key, (*layout.lead, layout.keys, hidden), key.shape),
        summed(of_vector, vector.shape, vector.shape),
    )


def _layout(query: Tensor, key: Tensor, vector: Tensor) -> Layout:
    return layout_of(
        query.shape, query.stride(), key.shape, key.stride(), vector.shape, vector.stride()
    )


def _rows(queries: int, layout: Layout) -> int:
    return max(1, min(queries, layout.queries, ROWS, max(32, NUMBERS // max(1, layout.hidden))))


def _arguments(
    query: Tensor, key: Tensor, vector: Tensor, layout: Layout, activation: str
) -> tuple[Argument, ...]:
    """The leading arguments of both kernels."""
    return (
        SLOPES[activation],
        flat(query),
        flat(key),
        flat(vector),
        layout.places,
        layout.queries,
        layout.keys,
        layout.hidden,
        *layout.strides[:2],
    )


def plain_gradients(
    query: Tensor, key: Tensor, vector: Tensor, activation: str, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by plain mathematics, for double backward."""
    hidden = query[..., :, None, :] + key[..., None, :, :]
    value = ACTIVATIONS[activation](hidden)
    least = SLOPES[activation]
    if least is None:
        slope = 1 - value * value
    else:
        slope = torch.where(hidden > 0, torch.ones_like(hidden), least)
    slope = slope * vector[..., None, None, :] * upstream[..., None]
    return (
        slope.sum(-2).sum_to_size(query.shape),
        slope.sum(-3).sum_to_size(key.shape),
        (value * upstream[..., None]).sum((-2, -3)).sum_to_size(vector.shape),
    )


def _shape_of_scores(query: Tensor, key: Tensor, vector: Tensor, activation: str) -> Tensor:
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], vector.shape[:-1])
    return query.new_empty(*lead, query.shape[-2], key.shape[-2])


def _shapes_of_gradients(
    query: Tensor, key: Tensor, vector: Tensor, activation: str, upstream: Tensor
) -> tuple[Tensor, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in (query, key, vector))


def _keep(ctx: Any, inputs: Sequence[Any], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.activation = inputs[3]


def _differentiate(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    query, key, vector = ctx.saved_tensors
    gradients = plain_gradients if torch.is_grad_enabled() else GRADIENTS
    return *gradients(query, key, vector, ctx.activation, upstream), None


GRADIENTS = Operator(
    "additive_gradients(Tensor query, Tensor key, Tensor vector, str activation, Tensor upstream)"
    " -> (Tensor, Tensor, Tensor)",
    scores_backward,
    _shapes_of_gradients,
    on_gpu=True,
)
SCORES = Operator(
    "additive_scores(Tensor query, Tensor key, Tensor vector, str activation) -> Tensor",
    scores_forward,
    _shape_of_scores,
    _keep,
    _differentiate,
    on_gpu=True,
)
"""`heedful::additive_scores`, a single operator under torch.compile and torch.export."""
