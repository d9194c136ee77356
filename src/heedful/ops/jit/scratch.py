"""Memory for the parts of kernels: how it is divided, and scratch memory that is cached per thread."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

MOST_KEPT = 4 * 2**20
"""Most elements of a dtype cached per thread. Fresh pages from the system cost more than the computation in them."""
_cache = threading.local()


def whole_lines(numbers: int) -> int:
    """Return the least multiple of 16 that is not less: so many numbers of 4 bytes or more fill whole cache lines.

    Two parts that wrote to one cache line would take it from each other's cache with each write.

    >>> whole_lines(16), whole_lines(17)
    (16, 32)
    """
    return -(-numbers // 16) * 16


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
