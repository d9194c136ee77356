"""Whether a call's numbers may be looked at, and whether they are all finite."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def inside_func() -> bool:
    """Whether torch.func (vmap, grad, jvp ...) is at work."""
    # Of the ways to ask, the one whose answer torch.compile knows while it traces, its own transforms included.
    return torch._C._functorch.get_dynamic_layer_stack_depth() > 0


def can_look(tensor: Tensor) -> bool:
    """Whether the values of `tensor` can be looked at now: not while they are traced, captured or only shapes."""
    if torch.compiler.is_compiling() or tensor.is_meta or inside_func():
        return False
    return not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def all_finite(*tensors: Tensor) -> bool:
    """Whether no tensor holds NaN or infinity."""
    # A sum is finite only where all its terms are, and it is read many times faster than `isfinite` writes its
    # answers; where large terms overflow the sum, the answers decide.
    sums = [
        tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
        for tensor in map(Tensor.detach, tensors)
    ]
    total = sums[0]
    for other in sums[1:]:
        total = total + other
    return math.isfinite(total.item()) or all(
        bool(torch.isfinite(tensor).all()) for tensor in tensors
    )
