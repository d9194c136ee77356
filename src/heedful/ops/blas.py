"""Cheap inner products by PyTorch's BLAS, called through ctypes. Used for NaN/inf checks.

The same check in PyTorch creates a view and a result tensor, goes through the dispatcher and converts the result to
Python. For a short sequence that overhead is longer than reading the elements.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

Dot = Callable[..., float]

KINDS: dict[torch.dtype, tuple[str, Any]] = {
    torch.float32: ("sdot_", ctypes.c_float),
    torch.float64: ("ddot_", ctypes.c_double),
}
# Fortran takes arguments by reference. Eight little-endian bytes hold the same number for 32-bit and 64-bit integers.
STEP = ctypes.c_int64(1)
_MAX_LENGTH = 2**31 - 1  # of a BLAS with 32-bit integers


def product_of(one: Tensor, other: Tensor) -> float | None:
    """Return the inner product of all elements of two tensors in memory order, or None if it is unsupported.

    Supported are two float32 or two float64 CPU tensors of equal length without gaps in memory: contiguous, or
    (batch, heads, length, features) stored as (batch, length, heads, features). It also needs a BLAS.
    If both are the same tensor, its first half is multiplied by its second, which reads it once.

    >>> product_of(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])) in (11.0, None)
    True
    """
    dtype, length = one.dtype, one.numel()
    dot = dots().get(dtype)
    if dot is None or length > _MAX_LENGTH or not one.is_cpu or not _is_gapless(one):
        return None
    first = second = one.data_ptr()
    if other is one:
        half = (length + 1) // 2
        second += (length - half) * one.element_size()
        length = half
    elif other.dtype is dtype and other.numel() == length and other.is_cpu and _is_gapless(other):
        second = other.data_ptr()
    else:
        return None
    if not (first and second):
        return None  # no storage: an empty tensor, or a zero tensor that is not materialized
    return dot(ctypes.c_int64(length), first, STEP, second, STEP)


def _is_gapless(tensor: Tensor) -> bool:
    if type(tensor) is not Tensor and type(tensor) is not Parameter:
        return False  # a subclass may have no storage
    if tensor.is_contiguous():
        return True
    if tensor.ndim != 4:
        return False
    _, heads, length, features = tensor.shape
    row = heads * features
    return tensor.stride() == (length * row, features, row, 1)


@cache
def dots() -> dict[torch.dtype, Dot]:
    """The BLAS dot products exported by PyTorch's library, by dtype; empty if it exports none."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    except OSError:
        return {}
    found = {dtype: _verified(library, *kind) for dtype, kind in KINDS.items()}
    return {dtype: dot for dtype, dot in found.items() if dot is not None}


def _verified(library: ctypes.CDLL, name: str, kind: Any) -> Dot | None:
    """Return a dot product after testing it on an example: BLAS libraries differ in how they return a float."""
    dot: Any = getattr(library, name, None)
    if dot is None:
        return None
    integer, address = ctypes.POINTER(ctypes.c_int64), ctypes.c_void_p
    dot.argtypes, dot.restype = (integer, address, integer, address, integer), kind
    numbers = (kind * 3)(1, 2, 3)
    found: Dot = dot
    return found if found(ctypes.c_int64(3), numbers, STEP, numbers, STEP) == 14.0 else None
