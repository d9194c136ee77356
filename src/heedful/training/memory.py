"""Process-wide settings that make training on a CPU faster; a program asks for them, none is imposed."""

from __future__ import annotations

import ctypes
import platform

import torch

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_ONE_GIBIBYTE = 1 << 30


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory for the next tensors; return whether it did.

    glibc hands every block over 128 KiB to 32 MiB back to the system when it is freed, and the system
    fills it with zeros when it is asked for again: 1.3 to 1.9 times the time of a training step. On
    other C libraries this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    kept = [
        mallopt(_M_MMAP_THRESHOLD, _ONE_GIBIBYTE),
        mallopt(_M_TRIM_THRESHOLD, 2 * _ONE_GIBIBYTE - 1),
    ]
    return all(kept)


def set_threads(threads: int) -> None:
    """Compute with `threads` threads; 0 leaves PyTorch's own choice."""
    if threads:
        torch.set_num_threads(threads)
