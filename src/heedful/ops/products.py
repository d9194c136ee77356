"""Matrix products in float32 at the full speed of the processor."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.finite import is_eager
from heedful.ops.jit.processor import has_wide_vectors, maker

LEAST_WORK = 2**21
"""Multiplications below which the fixed cost of a call to oneDNN is not won back."""


@cache
def prefers_onednn() -> bool:
    """Whether oneDNN multiplies float32 matrices faster than PyTorch's own choice on this processor.

    PyTorch multiplies in float32 by MKL, which gives processors of other makers than Intel code for half of their
    512-bit registers; oneDNN asks what the processor can do, not who made it. AMD Zen 5, one core: 92 GFLOP/s by MKL,
    205 by oneDNN. It depends on the machine alone, never on a measurement: a run that is resumed rounds as before.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    return has_wide_vectors() and maker() == "AuthenticAMD" and _operator() is not None


def _operator() -> Any:
    """PyTorch's only door to oneDNN's float32 product of plain tensors: the one its compiler takes."""
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply: left · right + bias, for the inside of hand-written derivatives: autograd does not see through it.

    Shapes: (..., rows, inner), (inner, columns) and (columns,) -> (..., rows, columns).

    >>> product(torch.ones(2, 3), torch.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    if left.numel() * right.shape[-1] >= LEAST_WORK and _suits(left, right, bias):
        weight = right.t()
        if not (weight.is_contiguous() or right.is_contiguous()):
            # part of a wider matrix: oneDNN multiplies by that in its plainest loop, a thousand times slower
            weight = weight.contiguous()
        result: Tensor = _operator()(left, weight, bias, "none", [], "")
        return result
    return F.linear(left, right.t(), bias)


def crossed(left: Tensor, right: Tensor) -> Tensor:
    """Multiply: leftᵀ · right, summed over rows, as the gradient of a weight is; not seen by autograd.

    Shapes: (rows, a) and (rows, b) -> (a, b).

    >>> crossed(torch.ones(5, 2), torch.ones(5, 1))
    tensor([[5.],
            [5.]])
    """
    # oneDNN's door copies what comes first in the product and is transposed: better the narrower one.
    if left.shape[1] > right.shape[1]:
        return product(right.t(), left).t().contiguous()
    return product(left.t(), right)


def stacked(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices of the same leading axes: left · right; not seen by autograd.

    Shapes: (*lead, rows, inner) and (*lead, inner, columns) -> (*lead, rows, columns).

    >>> stacked(torch.ones(4, 2, 3), torch.ones(4, 3, 1)).shape
    torch.Size([4, 2, 1])
    """
    work = left.shape[-2] * left.shape[-1] * right.shape[-1]
    if work < LEAST_WORK or left.shape[:-2] != right.shape[:-2] or not _suits(left, right):
        return left @ right
    lead, rows, columns = left.shape[:-2], left.shape[-2], right.shape[-1]
    lefts, rights = (t.reshape(-1, *t.shape[-2:]) for t in (left, right))
    if len(lefts) == 1:
        return product(lefts[0], rights[0]).view(*lead, rows, columns)
    result = left.new_empty(len(lefts), rows, columns)
    for into, one, other in zip(result, lefts, rights, strict=True):
        into.copy_(product(one, other))
    return result.view(*lead, rows, columns)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""`torch.nn.functional.linear`, :math:`x W^\top + b`, faster where `prefers_onednn`.

    Shapes: (..., inputs), (outputs, inputs) and (outputs,) -> (..., outputs).

    >>> linear(torch.ones(2, 3), torch.ones(1, 3))
    tensor([[3.],
            [3.]])
    """
    # Asked before sizes are compared, since a comparison would bound the sizes that an exported program takes.
    if torch.compiler.is_compiling():
        return F.linear(inputs, weight, bias)
    if inputs.numel() * len(weight) < LEAST_WORK or not _suits(inputs, weight, bias):
        return F.linear(inputs, weight, bias)
    result: Tensor = _Linear.apply(inputs, weight, bias)  # type: ignore[no-untyped-call]
    return result


def matmul(tokens: Tensor, weight: Tensor) -> Tensor:
    """`torch.matmul` of features with a weight, one for all (inputs, outputs) or one a head (*, inputs, outputs).

    >>> matmul(torch.ones(2, 3), torch.ones(3, 1)).shape
    torch.Size([2, 1])
    """
    return linear(tokens, weight.t()) if weight.ndim == 2 else tokens @ weight


def _suits(*tensors: Tensor | None) -> bool:
    plain = all(
        tensor is None or (tensor.dtype == torch.float32 and tensor.is_cpu) for tensor in tensors
    )
    # Compilers, transforms and autocast know PyTorch's own operators and have a plan of their own for them.
    return bool(
        plain
        and is_eager()
        and prefers_onednn()
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
    )


def _seen_crossed(left: Tensor, right: Tensor) -> Tensor:
    return left.t() @ right


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight.t(), bias)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        rows = upstream.reshape(-1, len(weight))
        fed = inputs.reshape(-1, weight.shape[1])
        # Where a second derivative is wanted, autograd must see every step.
        seen = torch.is_grad_enabled()
        multiply, cross = (torch.matmul, _seen_crossed) if seen else (product, crossed)
        return (
            multiply(upstream, weight) if ctx.needs_input_grad[0] else None,
            cross(rows, fed) if ctx.needs_input_grad[1] else None,
            rows.sum(0) if ctx.needs_input_grad[2] else None,
        )
