"""Batches on the device of a model and in the precision of its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def moved_to_model(batch: Any, model: nn.Module) -> Any:
    """Return a batch on the device of the weights of `model`, its floating-point tensors in their precision.

    Args:
        batch: a tensor, something with a method `to(device, dtype)`, a tuple or list of those, or what is in no memory
            of a device, such as a number or None.
        model: the weights decide; half precision by autocast has weights in float32.

    >>> model = nn.Linear(2, 1).double()
    >>> numbers, ids = moved_to_model((torch.ones(2), torch.tensor([3])), model)
    >>> numbers.dtype, ids.dtype
    (torch.float64, torch.int64)
    """
    weight = next(model.parameters())
    return _moved(batch, weight.device, weight.dtype)


def _moved(part: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(part, Tensor):
        return part.to(device, dtype if part.is_floating_point() else part.dtype)
    if isinstance(part, list | tuple):
        parts = [_moved(each, device, dtype) for each in part]
        return type(part)(*parts) if hasattr(part, "_fields") else type(part)(parts)
    return part.to(device, dtype) if hasattr(part, "to") else part
