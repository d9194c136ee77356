"""Reads numbers by the BLAS that PyTorch carries, past the dispatcher: for whoever looks at a few of them often.

PyTorch takes a view, an operation, a new tensor and a way back to Python each time, which is longer than the numbers of
a short sequence are read.
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
# Fortran takes everything by address. Eight bytes, so that one who reads four of them finds the same number.
STEP = ctypes.c_int64(1)
_MOST = 2**31 - 1


def product_of(one: Tensor, other: Tensor) -> float | None:
    """Return an inner product of all numbers of two tensors, in whatever order they lie; None where it cannot be had.

    It can where a BLAS is found, and where both are float32 or float64 on the CPU, as long as each other, and lie in
    one row: as they are written, or heads behind positions. Of one tensor given twice the first half is multiplied by
    the second, which is read in half the time.

    >>> product_of(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])) in (11.0, None)
    True
    """
    dtype, length = one.dtype, one.numel()
    dot = dots().get(dtype)
    if dot is None or length > _MOST or not one.is_cpu or not _is_row(one):
        return None
    first = second = one.data_ptr()
    if other is one:
        half = (length + 1) // 2
        second += (length - half) * one.element_size()
        length = half
    elif other.dtype is dtype and other.numel() == length and other.is_cpu and _is_row(other):
        second = other.data_ptr()
    else:
        return None
    if not (first and second):
        return None  # zeros that PyTorch has never written down, or nothing at all
    return dot(ctypes.c_int64(length), first, STEP, second, STEP)


def _is_row(tensor: Tensor) -> bool:
    if type(tensor) is not Tensor and type(tensor) is not Parameter:
        return False  # It may hold no numbers.
    if tensor.is_contiguous():
        return True
    if tensor.ndim != 4:
        return False
    _, heads, length, features = tensor.shape
    width = heads * features
    return tensor.stride() == (length * width, features, width, 1)


@cache
def dots() -> dict[torch.dtype, Dot]:
    """The inner products that PyTorch's library brings; none where it is another library, or hides them."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    except OSError:
        return {}
    found = {dtype: _proved(library, *kind) for dtype, kind in KINDS.items()}
    return {dtype: dot for dtype, dot in found.items() if dot is not None}


def _proved(library: ctypes.CDLL, name: str, kind: Any) -> Dot | None:
    """Return a function that was seen to give what it should: BLAS's differ in how they return a float."""
    dot: Any = getattr(library, name, None)
    if dot is None:
        return None
    number, address = ctypes.POINTER(ctypes.c_int64), ctypes.c_void_p
    dot.argtypes, dot.restype = (number, address, number, address, number), kind
    numbers = (kind * 3)(1, 2, 3)
    found: Dot = dot
    return found if found(ctypes.c_int64(3), numbers, STEP, numbers, STEP) == 14.0 else None
