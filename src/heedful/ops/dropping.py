# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Compiled kernels of dropout that draw from a counter: no random numbers and no mask are stored.

Whether a number is dropped follows from a seed and its place by SplitMix64 (Steele et al. 2014,
https://doi.org/10.1145/2660193.2660195), so that the backward pass draws the same again. Dropout is fused with what
stands beside it in a Transformer layer, a residual sum or a ReLU.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from heedful.ops.finite import is_batched, is_eager
from heedful.ops.jit.kernel import (
    drop_lanes,
    inlined,
    kernel,
    launch,
    load,
    maximum,
    random_word,
    select_positive,
    splat,
    store,
    unavailable,
)
from heedful.ops.jit.operators import PLAIN_TENSORS
from heedful.ops.jit.source import LANES

SPAN: Final = 2 * LANES
"""Numbers whose fates are the bits of one word."""
WORDS: Final = 2**32
NANOSECONDS: Final = 0.3
"""Work a number, on one thread."""
LEAST: Final = 2**15
"""Numbers below which loading the kernel and calling it is not worth it."""
TYPES: Final = (torch.float32, torch.bfloat16)


def can_drop(*tensors: Tensor) -> bool:
    """Whether the kernels serve tensors: eager ones of one shape on a CPU, in float32 or bfloat16, and large enough."""
    first = tensors[0]
    return (
        first.numel() >= LEAST
        and all(
            each.is_cpu
            and each.dtype in TYPES
            and each.shape == first.shape
            and type(each) in PLAIN_TENSORS
            for each in tensors
        )
        and is_eager()
        and not torch._C._len_torch_dispatch_stack()
        and unavailable() is None
    )


def drop(inputs: Tensor, probability: float, residual: Tensor | None = None) -> Tensor:
    r"""Return dropout of the inputs, added to a residual if there is one.

    .. math:: y = r + x \cdot b / (1 - p), \quad b \sim \mathrm{Bernoulli}(1 - p)

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html. The seed is drawn from PyTorch's default
    generator. The sum has the wider type of the two. Differentiable to any order.

    Shapes: any -> the same; see `can_drop`.

    >>> dropped = drop(torch.ones(200, 200), 0.25)
    >>> sorted(round(float(each), 2) for each in dropped.unique())
    [0.0, 1.33]
    """
    result: Tensor = _Drop.apply(inputs, residual, _seed(), _limit(probability))  # type: ignore[no-untyped-call]
    return result


def drop_rectified(inputs: Tensor, probability: float) -> Tensor:
    r"""Return dropout of max(x, 0); the rest as `drop`.

    >>> bool((drop_rectified(-torch.ones(200, 200), 0.25) == 0).all())
    True
    """
    result: Tensor = _DropRectified.apply(inputs, _seed(), _limit(probability))  # type: ignore[no-untyped-call]
    return result


def _seed() -> int:
    return int(torch.randint(2**62, (1,), device="cpu"))


def _limit(probability: float) -> int:
    """A number is dropped where its random 32 bits are below this."""
    return min(max(round(probability * WORDS), 1), WORDS - 1)


def _scale(limit: int) -> float:
    return WORDS / (WORDS - limit)


def _run(
    body: Any, inputs: Tensor, seed: int, limit: int, added: Tensor | None, output: Tensor
) -> Tensor:
    flat = inputs.detach().contiguous().view(-1)
    more = None if added is None else added.detach().contiguous().view(-1)
    launch(
        body, flat.numel(), seed, limit, _scale(limit), flat, more, output.view(-1),
        work=flat.numel() * NANOSECONDS,
    )  # fmt: skip
    return output


def _new(like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(like.shape, dtype=dtype, device=like.device)


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, residual: Tensor | None, seed: int, limit: int) -> Tensor:
        ctx.seed, ctx.limit, ctx.dtype = seed, limit, inputs.dtype
        ctx.residual_dtype = None if residual is None else residual.dtype
        dtype = inputs.dtype
        if residual is not None:
            dtype = torch.promote_types(dtype, residual.dtype)
        return _run(drop_add, inputs, seed, limit, residual, _new(inputs, dtype))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        residual = None
        if ctx.needs_input_grad[1]:
            residual = upstream.to(ctx.residual_dtype)
        inputs = None
        if ctx.needs_input_grad[0]:
            if torch.is_grad_enabled() or is_batched(upstream):
                ones = torch.ones(upstream.shape, device="cpu")
                factors = _run(drop_add, ones, ctx.seed, ctx.limit, None, torch.empty_like(ones))
                inputs = (upstream * factors).to(ctx.dtype)
            else:
                target = _new(upstream, ctx.dtype)
                inputs = _run(drop_add, upstream, ctx.seed, ctx.limit, None, target)
        return inputs, residual, None, None


class _DropRectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, seed: int, limit: int) -> Tensor:
        output = _run(drop_relu, inputs, seed, limit, None, _new(inputs, inputs.dtype))
        ctx.save_for_backward(output)
        ctx.limit = limit
        return output

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        [output] = ctx.saved_tensors
        if torch.is_grad_enabled() or is_batched(upstream):
            return upstream * ((output.detach() > 0) * _scale(ctx.limit)), None, None
        target = _new(upstream, upstream.dtype)
        return _run(pass_kept, upstream, 0, ctx.limit, output, target), None, None


@kernel(no_refcount=True, halves=True)
def drop_add(part, parts, count, seed, limit, scale, inputs, added, output):
    """Added + inputs · scale where a number is kept, else added, or 0 where there is none."""
    spans = count // SPAN
    for span in range(spans * part // parts, spans * (part + 1) // parts):
        drop_span(span, span * SPAN, seed, limit, scale, inputs, added, output)
    if part == parts - 1 and spans * SPAN < count:
        # The last span overlaps the one before, which this part has written.
        drop_span(spans, count - SPAN, seed, limit, scale, inputs, added, output)


@inlined(no_refcount=True)
def drop_span(span, first, seed, limit, scale, inputs, added, output):
    """`drop_add` of one span from place `first` on."""
    word = random_word(seed, span, limit)
    for half in range(2):
        at = first + half * LANES
        kept = drop_lanes(load(inputs, at) * scale, word >> (half * LANES))
        if added is None:
            store(output, at, kept)
        else:
            store(output, at, load(added, at) + kept)


@kernel(no_refcount=True, halves=True)
def drop_relu(part, parts, count, seed, limit, scale, inputs, added, output):
    """max(inputs, 0) · scale where a number is kept, else 0; NaN stays NaN where it is kept."""
    spans = count // SPAN
    for span in range(spans * part // parts, spans * (part + 1) // parts):
        drop_relu_span(span, span * SPAN, seed, limit, scale, inputs, output)
    if part == parts - 1 and spans * SPAN < count:
        drop_relu_span(spans, count - SPAN, seed, limit, scale, inputs, output)


@inlined(no_refcount=True)
def drop_relu_span(span, first, seed, limit, scale, inputs, output):
    """`drop_relu` of one span from place `first` on."""
    word = random_word(seed, span, limit)
    for half in range(2):
        at = first + half * LANES
        numbers = load(inputs, at)
        positive = maximum(splat(np.float32(0)), numbers) * scale
        store(output, at, drop_lanes(positive, word >> (half * LANES)))


@kernel(no_refcount=True, halves=True)
def pass_kept(part, parts, count, seed, limit, scale, inputs, kept, output):
    """Inputs · scale where `kept` is positive, else 0."""
    spans = count // SPAN
    for span in range(spans * part // parts, spans * (part + 1) // parts):
        pass_span(span * SPAN, scale, inputs, kept, output)
    if part == parts - 1 and spans * SPAN < count:
        pass_span(count - SPAN, scale, inputs, kept, output)


@inlined(no_refcount=True)
def pass_span(first, scale, inputs, kept, output):
    """`pass_kept` of one span from place `first` on."""
    for half in range(2):
        at = first + half * LANES
        numbers = load(inputs, at) * scale
        store(output, at, select_positive(load(kept, at), numbers, np.float32(0)))
