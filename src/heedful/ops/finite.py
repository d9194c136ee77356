"""NaN/inf checks of tensors, and whether a call may read values: not under tracing, torch.func or with fake tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

from heedful.ops.blas import product_of
from heedful.ops.constant import assume_constant_result


def in_torch_func() -> bool:
    """Whether a torch.func transform (vmap, grad, jvp ...) is active."""
    return torch._C._functorch.get_dynamic_layer_stack_depth() > 0


# Before PyTorch 2.13, torch.compile does not know the function asked. Marked so, this one is called while torch.compile
# traces, when the transforms inside traced code are active too.
assume_constant_result(in_torch_func)


def in_jit_trace() -> bool:
    """Whether torch.jit.trace is recording; sizes are then tensors."""
    return torch._C._get_tracing_state() is not None


def is_eager() -> bool:
    """Whether the call runs eagerly: not compiled, exported or traced, without torch.func and forward-mode AD."""
    return not (
        torch.compiler.is_compiling()
        or in_torch_func()
        or forward_ad._current_level >= 0
        or in_jit_trace()
    )


def is_batched(tensor: Tensor) -> bool:
    """Whether a tensor is batched by vmap, as gradients are under `is_grads_batched`."""
    functions = torch._C._functorch
    return functions.is_batchedtensor(tensor) or functions.is_legacy_batchedtensor(tensor)


def _is_fake(tensor: Tensor) -> bool:
    return type(tensor) is not Tensor and isinstance(tensor, FakeTensor)


def can_read_values(tensor: Tensor) -> bool:
    """Whether values can be read: not under tracing, torch.func or CUDA graph capture, and not of fake tensors."""
    if torch.compiler.is_compiling() or tensor.is_meta or in_torch_func() or _is_fake(tensor):
        return False
    return not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def all_finite(*tensors: Tensor) -> bool:
    """Whether all elements of all tensors are finite."""
    # The cheap check can overflow on large finite values. Only then `isfinite` decides, which takes many times as long.
    if tensors[0].is_cpu:
        total = sum(finite_probe(tensor) for tensor in tensors)
    else:
        # One synchronization with the device for all tensors.
        total = torch.stack([_sum(tensor).float() for tensor in tensors]).sum().item()
    return math.isfinite(total) or all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def finite_probe(one: Tensor, other: Tensor | None = None) -> float:
    """Return a number that is finite only if all elements of both tensors are, in one pass over memory.

    It is an inner product or a sum, through which NaN and infinity always propagate.
    """
    product = None if in_jit_trace() else product_of(one, one if other is None else other)
    if product is not None:
        return product
    return _sum(one).item() + (0.0 if other is None else _sum(other).item())


def _sum(tensor: Tensor) -> Tensor:
    values = tensor.detach()
    if values.dtype is torch.float32 or values.dtype is torch.float64:
        return values.sum()
    return values.sum(dtype=torch.promote_types(values.dtype, torch.float32))
