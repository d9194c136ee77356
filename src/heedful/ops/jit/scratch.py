"""Scratch memory for kernels, cached per thread."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

MOST_KEPT = 4 * 2**20
"""Most elements of a dtype cached per thread. Fresh pages from the system cost more than the computation in them."""
_cache = threading.local()


def scratch(parts: int, numbers: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return uninitialized memory of a dtype, (parts, numbers), one row per part.

    It is valid until the next call with that dtype in the same thread, which may return the same memory.
    """
    kept: dict[torch.dtype, tuple[Tensor, Tensor]] | None = getattr(_cache, "memories", None)
    if kept is None:
        kept = _cache.memories = {}
    memory, last = kept.get(dtype, (None, None))
    if last is not None and last.shape == (parts, numbers):
        return last
    size = parts * numbers
    if memory is None or len(memory) < size:
        memory = torch.empty(size, dtype=dtype, device="cpu")
        if size > MOST_KEPT:
            return memory.view(parts, numbers)
    last = memory[:size].view(parts, numbers)
    kept[dtype] = memory, last
    return last
