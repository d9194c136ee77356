# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Numbers of 16 bits in kernels: stored as integers, loaded as vectors of float32. Needs Numba.

Numba has no bfloat16 and no float16 on a processor. A tensor of bfloat16 arrives as an array of int16, one of float16
as an array of uint16 (`ELEMENT_TYPES` in `numba_entry`), and vectors of them are converted where they are loaded and
stored.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

BFLOAT16, FLOAT16 = types.int16, types.uint16
"""The integers that stand for numbers of 16 bits."""
ROUND, QUIET = 0x7FFF, 0x7FC0
"""Half a unit of the last kept bit, less one; a NaN in bfloat16."""


def number_type(dtype: Any) -> Any:
    """The type of an array's elements in registers: float32 for numbers of 16 bits.

    >>> number_type(types.uint16), number_type(types.float64)
    (float32, float64)
    """
    return types.float32 if dtype in (BFLOAT16, FLOAT16) else dtype


def load_numbers(builder: Any, dtype: Any, pointer: Any, lanes: int) -> Any:
    """A vector of floating-point numbers from a pointer to the first element of an array of `dtype`."""
    kind = ir.VectorType(pointer.type.pointee, lanes)
    loaded = builder.load(builder.bitcast(pointer, kind.as_pointer()), align=_alignment(dtype))
    if dtype == FLOAT16:
        halves = builder.bitcast(loaded, ir.VectorType(ir.HalfType(), lanes))
        return builder.fpext(halves, ir.VectorType(ir.FloatType(), lanes))
    if dtype == BFLOAT16:
        words = ir.VectorType(ir.IntType(32), lanes)
        shifted = builder.shl(builder.zext(loaded, words), ir.Constant(words, [16] * lanes))
        return builder.bitcast(shifted, ir.VectorType(ir.FloatType(), lanes))
    return loaded


def load_number(builder: Any, dtype: Any, pointer: Any) -> Any:
    """A floating-point number from a pointer to an element of an array of `dtype`."""
    if dtype not in (BFLOAT16, FLOAT16):
        return builder.load(pointer)
    one = load_numbers(builder, dtype, pointer, 1)
    return builder.extract_element(one, ir.Constant(ir.IntType(32), 0))


def store_numbers(builder: Any, dtype: Any, value: Any, pointer: Any) -> None:
    """Write a vector of floating-point numbers to an array of `dtype`, rounded to the nearest, ties to even."""
    lanes = value.type.count
    if dtype == FLOAT16:
        value = builder.fptrunc(value, ir.VectorType(ir.HalfType(), lanes))
        value = builder.bitcast(value, ir.VectorType(ir.IntType(16), lanes))
    elif dtype == BFLOAT16:
        value = _rounded(builder, value, lanes)
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=_alignment(dtype))


def _rounded(builder: Any, value: Any, lanes: int) -> Any:
    """The upper 16 bits of float32 numbers, rounded; NaN stays NaN."""
    words, halves = ir.VectorType(ir.IntType(32), lanes), ir.VectorType(ir.IntType(16), lanes)
    bits = builder.bitcast(value, words)
    shift, one = ir.Constant(words, [16] * lanes), ir.Constant(words, [1] * lanes)
    odd = builder.and_(builder.lshr(bits, shift), one)
    rounded = builder.add(builder.add(bits, ir.Constant(words, [ROUND] * lanes)), odd)
    rounded = builder.trunc(builder.lshr(rounded, shift), halves)
    is_nan = builder.fcmp_unordered("uno", value, value)
    return builder.select(is_nan, ir.Constant(halves, [QUIET] * lanes), rounded)


def _alignment(dtype: Any) -> int:
    """Bytes to which vectors are known to be aligned: no more than a float32."""
    return 2 if dtype in (BFLOAT16, FLOAT16) else 4
