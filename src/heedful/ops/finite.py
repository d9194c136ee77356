"""Whether a call's numbers may be looked at, and whether they are all finite."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

from heedful.ops.blas import product_of


def inside_func() -> bool:
    """Whether torch.func (vmap, grad, jvp ...) is at work."""
    # Of the ways to ask, the one whose answer torch.compile knows while it traces, its own transforms included.
    return torch._C._functorch.get_dynamic_layer_stack_depth() > 0


def is_traced() -> bool:
    """Whether torch.jit.trace writes down what is computed, in which sizes are tensors."""
    return torch._C._get_tracing_state() is not None


def is_eager() -> bool:
    """Whether numbers alone are computed: nothing is compiled, exported or traced, no torch.func, no forward mode."""
    return not (
        torch.compiler.is_compiling()
        or inside_func()
        or forward_ad._current_level >= 0
        or is_traced()
    )


def is_batched(tensor: Tensor) -> bool:
    """Whether it stands for several at once, as a gradient does under `is_grads_batched`."""
    functions = torch._C._functorch
    return functions.is_batchedtensor(tensor) or functions.is_legacy_batchedtensor(tensor)


def _is_fake(tensor: Tensor) -> bool:
    return type(tensor) is not Tensor and isinstance(tensor, FakeTensor)


def can_look(tensor: Tensor) -> bool:
    """Whether the values of `tensor` can be looked at now: not while they are traced, captured or only shapes."""
    if torch.compiler.is_compiling() or tensor.is_meta or inside_func() or _is_fake(tensor):
        return False
    return not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def all_finite(*tensors: Tensor) -> bool:
    """Whether no tensor holds NaN or infinity."""
    # Where large terms overflow the reading, the answers of `isfinite` decide, which take many times as long.
    if tensors[0].is_cpu:
        total = sum(reading(tensor) for tensor in tensors)
    else:
        # An accelerator is waited for once.
        total = torch.stack([_sum(tensor).float() for tensor in tensors]).sum().item()
    return math.isfinite(total) or all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def reading(one: Tensor, other: Tensor | None = None) -> float:
    """Return a number that is finite only where all numbers of both tensors are, in the time of reading them once.

    It is an inner product or a sum: NaN and infinity, whatever they meet, leave neither finite.
    """
    product = None if is_traced() else product_of(one, one if other is None else other)
    if product is not None:
        return product
    return _sum(one).item() + (0.0 if other is None else _sum(other).item())


def _sum(tensor: Tensor) -> Tensor:
    plain = tensor.detach()
    wide = plain.dtype is torch.float32 or plain.dtype is torch.float64
    return plain.sum() if wide else plain.sum(dtype=torch.promote_types(plain.dtype, torch.float32))
