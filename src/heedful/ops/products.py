"""Matrix products in float32 by the fastest library for the processor, oneDNN or PyTorch's default."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.finite import is_eager
from heedful.ops.jit.processor import has_wide_vectors, maker, splits_wide_vectors

LEAST_WORK = 2**23 if splits_wide_vectors() else 2**21
"""Least number of multiplications for which oneDNN amortizes its overhead per call.

Where vectors of 512 bits are split, oneDNN gains less: on one core of an AMD Zen 4 large products have 110 GFLOP/s by
oneDNN and 100 by MKL, one of 3.6 million multiplications 89 and 96.
"""


@cache
def prefers_onednn() -> bool:
    """Whether oneDNN multiplies float32 matrices faster than PyTorch's default on this processor.

    PyTorch's default is MKL, which uses only 256 bits of AVX-512 registers on processors that are not Intel's. oneDNN
    selects its code by the processor's features instead of its vendor. On one core of an AMD Zen 5, MKL reaches
    92 GFLOP/s and oneDNN 205. The choice depends on the processor, not on a timing, so a resumed training rounds as
    before.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    return has_wide_vectors() and maker() == "AuthenticAMD" and _operator() is not None


def _operator() -> Any:
    """PyTorch's only binding of oneDNN's float32 product of plain tensors; torch.compile uses it too."""
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Matrix product left · right + bias for hand-written forward and backward passes: not differentiable.

    Shapes: (..., rows, inner), (inner, columns) and (columns,) -> (..., rows, columns).

    >>> product(torch.ones(2, 3), torch.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    if left.numel() * right.shape[-1] >= LEAST_WORK and _can_use_onednn(left, right, bias):
        weight = right.t()
        if not (weight.is_contiguous() or right.is_contiguous()):
            # A slice of a wider matrix. oneDNN has only a reference loop for its strides, a thousand times slower.
            weight = weight.contiguous()
        result: Tensor = _operator()(left, weight, bias, "none", [], "")
        return result
    return F.linear(left, right.t(), bias)


def crossed(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product leftᵀ · right, such as the gradient of a weight: not differentiable.

    Shapes: (rows, a) and (rows, b) -> (a, b).

    >>> crossed(torch.ones(5, 2), torch.ones(5, 1))
    tensor([[5.],
            [5.]])
    """
    # oneDNN's binding copies a transposed left operand, so the narrower matrix goes there.
    if left.shape[1] > right.shape[1]:
        return product(right.t(), left).t().contiguous()
    return product(left.t(), right)


def stacked(left: Tensor, right: Tensor) -> Tensor:
    """Batched matrix product left · right: not differentiable.

    Shapes: (*lead, rows, inner) and (*lead, inner, columns) -> (*lead, rows, columns).

    >>> stacked(torch.ones(4, 2, 3), torch.ones(4, 3, 1)).shape
    torch.Size([4, 2, 1])
    """
    work = left.shape[-2] * left.shape[-1] * right.shape[-1]
    if work < LEAST_WORK or left.shape[:-2] != right.shape[:-2] or not _can_use_onednn(left, right):
        return left @ right
    lead, rows, columns = left.shape[:-2], left.shape[-2], right.shape[-1]
    lefts, rights = (t.reshape(-1, *t.shape[-2:]) for t in (left, right))
    if len(lefts) == 1:
        return product(lefts[0], rights[0]).view(*lead, rows, columns)
    result = left.new_empty(len(lefts), rows, columns)
    for target, one, other in zip(result, lefts, rights, strict=True):
        target.copy_(product(one, other))
    return result.view(*lead, rows, columns)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""`torch.nn.functional.linear`, :math:`x W^\top + b`, by oneDNN where `prefers_onednn`.

    Differentiable to any order.

    Shapes: (..., inputs), (outputs, inputs) and (outputs,) -> (..., outputs).

    >>> linear(torch.ones(2, 3), torch.ones(1, 3))
    tensor([[3.],
            [3.]])
    """
    # Tested before comparing sizes: a comparison would add a guard on the dynamic sizes of an exported program.
    if torch.compiler.is_compiling():
        return F.linear(inputs, weight, bias)
    if inputs.numel() * weight.shape[0] < LEAST_WORK or not _can_use_onednn(inputs, weight, bias):
        return F.linear(inputs, weight, bias)
    result: Tensor
    if not torch.is_grad_enabled() and weight.is_contiguous():
        result = _operator()(inputs, weight, bias, "none", [], "")
        return result
    result = _Linear.apply(inputs, weight, bias)  # type: ignore[no-untyped-call]
    return result


def matmul(tokens: Tensor, weight: Tensor) -> Tensor:
    """`torch.matmul` of features and a weight, shared (inputs, outputs) or per head (*, inputs, outputs).

    >>> matmul(torch.ones(2, 3), torch.ones(3, 1)).shape
    torch.Size([2, 1])
    """
    return linear(tokens, weight.t()) if weight.ndim == 2 else tokens @ weight


def _can_use_onednn(*tensors: Tensor | None) -> bool:
    plain = all(
        tensor is None or (tensor.dtype == torch.float32 and tensor.is_cpu) for tensor in tensors
    )
    # Compilers, transforms and autocast have rules for PyTorch's standard operators only.
    return bool(
        plain
        and is_eager()
        and prefers_onednn()
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
    )


def _differentiable_crossed(left: Tensor, right: Tensor) -> Tensor:
    return left.t() @ right


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight.t(), bias)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        gradient_rows = upstream.reshape(-1, len(weight))
        input_rows = inputs.reshape(-1, weight.shape[1])
        # Gradients are enabled here only under double backward, which needs differentiable operations.
        differentiable = torch.is_grad_enabled()
        multiply = torch.matmul if differentiable else product
        cross = _differentiable_crossed if differentiable else crossed
        return (
            multiply(upstream, weight) if ctx.needs_input_grad[0] else None,
            cross(gradient_rows, input_rows) if ctx.needs_input_grad[1] else None,
            gradient_rows.sum(0) if ctx.needs_input_grad[2] else None,
        )
