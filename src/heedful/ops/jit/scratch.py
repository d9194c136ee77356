"""Scratch memory for kernels, cached per thread."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

MOST_KEPT = 4 * 2**20
"""Most float32 elements cached per thread. Fresh pages from the system cost more than the computation in them."""
_cache = threading.local()


def scratch(parts: int, numbers: int) -> Tensor:
    """Return uninitialized float32 memory, (parts, numbers), one row per part.

    It is valid until the next call in the same thread, which may return the same memory.
    """
    last: Tensor | None = getattr(_cache, "last", None)
    if last is not None and last.shape == (parts, numbers):
        return last
    size = parts * numbers
    memory: Tensor | None = getattr(_cache, "memory", None)
    if memory is None or len(memory) < size:
        memory = torch.empty(size, dtype=torch.float32, device="cpu")
        if size > MOST_KEPT:
            return memory.view(parts, numbers)
        _cache.memory = memory
    last = memory[:size].view(parts, numbers)
    _cache.last = last
    return last
