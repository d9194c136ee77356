"""Additive scores by compiled kernels: Σ_h v_h φ(a_qh + b_kh), differentiable, without queries × keys × hidden."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.backends.additive import gpu as additive_gpu
from heedful.ops.backends.additive.scores_backward import additive_backward, backward_sizes
from heedful.ops.backends.additive.scores_forward import (
    LEAKY,
    LIMITS,
    TANH,
    TANH_WIDE,
    additive_forward,
    forward_sizes,
)
from heedful.ops.jit.kernel import launch, parts_for, unavailable
from heedful.ops.jit.operators import Operator
from heedful.ops.rows import broadcast
from heedful.ops.scores import Additive, Score

FORWARD_NANOSECONDS, BACKWARD_NANOSECONDS = 0.06, 0.1
"""What one feature of one pair takes on one core."""


def refusal(device: torch.device) -> str | None:
    """None where the kernels run on tensors of that device, else why not."""
    if takes_triton(device):
        return additive_gpu.unavailable()
    if device.type != "cpu":
        return f"the compiled kernels run on a processor and on CUDA, and the tensors are on {device.type}"
    return unavailable()


def takes_triton(device: torch.device) -> bool:
    """Whether tensors of that device are for the kernels of a GPU."""
    return device.type == "cuda"


def has_fast_pair(score: Score, device: torch.device) -> bool:
    """Whether a compiled kernel computes the score's pair on tensors of that device."""
    return type(score) is Additive and refusal(device) is None


def fast_pair(score: Score, query: Tensor, key: Tensor) -> Tensor:
    """`score.pair` of float32 or float64, by a compiled kernel where there is one; tracers see it as one operator."""
    if isinstance(score, Additive) and has_fast_pair(score, query.device):
        return additive_scores(query, key, score.vector.to(query.dtype), score.activation)
    return score.pair(query, key)


def additive_scores(query: Tensor, key: Tensor, vector: Tensor, activation: str) -> Tensor:
    r"""s_qk = Σ_h v_h φ(a_qh + b_kh), φ tanh or leaky_relu with slope 0.2.

    `query` a is (*lead, query, hidden), `key` b (*lead, key, hidden) and `vector` v (*lead, hidden); leading axes
    broadcast and are not copied, nor are views that overlap. The result is (*lead, query, key). Of the three, nothing
    is kept for the backward pass but themselves; the second derivative is taken by plain mathematics.

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
    layout = Layout(query, key, vector, activation)
    scores = query.new_empty(layout.units, layout.queries, layout.keys)
    work = layout.work * FORWARD_NANOSECONDS
    parts = parts_for(work)
    rows, keys, features, numbers = forward_sizes(layout.queries, layout.keys, query.shape[-1])
    scratch = query.new_empty(parts, numbers)
    raised_rows, tiles = (
        query.new_empty(parts, rows, features),
        query.new_empty(parts, features, keys),
    )
    launch(
        additive_forward,
        *layout.arguments,
        rows,
        scores,
        scratch,
        raised_rows,
        tiles,
        work=work,
        parts=parts,
    )
    return scores.view(*layout.lead, layout.queries, layout.keys)


def scores_backward(
    query: Tensor, key: Tensor, vector: Tensor, activation: str, upstream: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of query, key and vector from `upstream`, that of the scores (*lead, query, key)."""
    if takes_triton(query.device):
        return additive_gpu.scores_backward(query, key, vector, activation, upstream)
    layout = Layout(query, key, vector, activation)
    units, hidden = layout.units, query.shape[-1]
    work = layout.work * BACKWARD_NANOSECONDS
    parts = parts_for(work)
    by_unit = units % parts == 0 or units >= 4 * parts or layout.queries < parts
    copies = 1 if by_unit else parts
    query_sum = query.new_empty(units, layout.queries, hidden)
    key_sum = query.new_empty(copies, units, layout.keys, hidden)
    vector_sum = query.new_empty(copies, units, hidden)
    rows, keys, features, numbers = backward_sizes(layout.queries, layout.keys, hidden)
    scratch = query.new_empty(parts, numbers)
    # one row more than there are: zeros, for a query that shares its division with none
    raised_rows = query.new_empty(parts, 2, rows + 1, features)
    tiles = query.new_empty(parts, 2, keys, features)
    upstream = upstream.reshape(units, layout.queries, layout.keys)
    launch(
        additive_backward,
        *layout.arguments,
        rows,
        by_unit,
        upstream,
        query_sum,
        key_sum,
        vector_sum,
        scratch,
        raised_rows,
        tiles,
        work=work,
        parts=parts,
    )
    lead = layout.lead
    return (
        query_sum.view(*lead, *query.shape[-2:]).sum_to_size(query.shape),
        _total(key_sum).view(*lead, *key.shape[-2:]).sum_to_size(key.shape),
        _total(vector_sum).view(*lead, hidden).sum_to_size(vector.shape),
    )


def _total(copies: Tensor) -> Tensor:
    return copies[0] if len(copies) == 1 else copies.sum(0)


class Layout:
    """How the kernels see three tensors: flat memory, and where each unit (each place of the leading axes) begins."""

    def __init__(self, query: Tensor, key: Tensor, vector: Tensor, activation: str) -> None:
        sides = [t if t.stride(-1) == 1 else t.contiguous() for t in (query, key)]
        vector = vector.contiguous()
        leads = [tuple(t.shape[:-2]) for t in sides] + [tuple(vector.shape[:-1])]
        lead = broadcast(*leads)
        assert lead is not None
        self.lead = lead
        self.queries, self.keys = query.shape[-2], key.shape[-2]
        vector_rows = vector.reshape(-1, vector.shape[-1])
        strides = [t.stride()[:-2] for t in sides] + [
            tuple(s // vector.shape[-1] for s in vector.stride()[:-1])
        ]
        places = unit_places(lead, tuple(zip(leads, strides, strict=True)))
        self.units = len(places)
        self.work = float(self.units * self.queries * self.keys * query.shape[-1])
        wide = query.dtype == torch.float64
        kind = LEAKY if activation == "leaky_relu" else TANH_WIDE if wide else TANH
        self.arguments = (
            flat(sides[0]),
            flat(sides[1]),
            vector_rows,
            places,
            sides[0].stride(-2),
            sides[1].stride(-2),
            kind,
            LIMITS[kind],
        )


@lru_cache(256)
def unit_places(
    lead: tuple[int, ...], sides: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
) -> Tensor:
    """Where each unit begins in each tensor's memory, (units, tensors), from their leading sizes and strides."""
    columns = []
    for sizes, strides in sides:
        place = torch.zeros((), dtype=torch.int64, device="cpu")
        for axis, (size, stride) in enumerate(
            zip(sizes, strides, strict=True), len(lead) - len(sizes)
        ):
            steps = torch.arange(lead[axis], device="cpu") * (stride if size > 1 else 0)
            place = place + steps.view(-1, *(1,) * (len(lead) - 1 - axis))
        columns.append(place.expand(lead).reshape(-1))
    return torch.stack(columns, -1)


def flat(tensor: Tensor) -> Tensor:
    """All the memory that a view reaches, as one axis."""
    if tensor.is_contiguous():
        return tensor.detach().view(-1)
    sizes, strides = tensor.shape, tensor.stride()
    span = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    return tensor.detach().as_strided((span if tensor.numel() else 0,), (1,))


def plain_gradients(
    query: Tensor, key: Tensor, vector: Tensor, activation: str, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by plain mathematics, which autograd can differentiate again."""
    hidden = query[..., :, None, :] + key[..., None, :, :]
    if activation == "tanh":
        value = torch.tanh(hidden)
        slope = 1 - value * value
    else:
        value, slope = (
            F.leaky_relu(hidden, 0.2),
            torch.where(hidden > 0, torch.ones_like(hidden), 0.2),
        )
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
"""`heedful::additive_scores`, which torch.compile and torch.export see as one operator."""
