"""Memory in which kernels work, kept from call to call."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

MOST_KEPT = 4 * 2**20
"""Numbers of scratch that a thread keeps from call to call: memory fresh from the system costs more than the work."""
_kept = threading.local()


def scratch(parts: int, numbers: int) -> Tensor:
    """Memory for each part in float32, (parts, numbers), its contents of no meaning, until the thread asks again."""
    last: Tensor | None = getattr(_kept, "last", None)
    if last is not None and last.shape == (parts, numbers):
        return last
    size = parts * numbers
    memory: Tensor | None = getattr(_kept, "memory", None)
    if memory is None or len(memory) < size:
        memory = torch.empty(size, dtype=torch.float32, device="cpu")
        if size > MOST_KEPT:
            return memory.view(parts, numbers)
        _kept.memory = memory
    last = memory[:size].view(parts, numbers)
    _kept.last = last
    return last
