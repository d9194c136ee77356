# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Intrinsics for kernels: random bits that follow from a seed and a position, so that none are stored. Needs Numba."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic as typed_intrinsic

from heedful.ops.jit.mixing import FIRST, GOLDEN, SECOND, SHIFTS
from heedful.ops.jit.vectors import COUNT, Lanes

intrinsic: Any = typed_intrinsic
WORDS, HALVES = ir.VectorType(ir.IntType(64), COUNT), ir.VectorType(ir.IntType(32), COUNT)


def _constant(number: int, kind: Any = WORDS) -> Any:
    return ir.Constant(kind, [number] * COUNT)


@intrinsic
def _random_word(typing: Any, seed: Any, position: Any, limit: Any) -> Any:
    """32 bits, each of which is 1 unless a random number of 32 bits is below `limit`.

    Sixteen numbers of SplitMix64, at 16 · `position` and those that follow, give bits 0 to 15 by their lower and bits
    16 to 31 by their upper halves.
    """

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        lanes = ir.Constant(WORDS, list(range(COUNT)))
        first = builder.mul(_spread(builder, given[1]), _constant(COUNT))
        steps = builder.mul(builder.add(first, lanes), _constant(GOLDEN))
        bits = builder.add(_spread(builder, given[0]), steps)
        for shift, factor in zip(SHIFTS, (FIRST, SECOND, 1), strict=True):
            bits = builder.xor(bits, builder.lshr(bits, _constant(shift)))
            if factor != 1:
                bits = builder.mul(bits, _constant(factor))
        bound = builder.trunc(_spread(builder, given[2]), HALVES)
        found = []
        for half in (bits, builder.lshr(bits, _constant(32))):
            kept = builder.icmp_unsigned(">=", builder.trunc(half, HALVES), bound)
            found.append(builder.zext(builder.bitcast(kept, ir.IntType(COUNT)), ir.IntType(64)))
        return builder.or_(found[0], builder.shl(found[1], ir.Constant(ir.IntType(64), COUNT)))

    return types.int64(types.int64, types.int64, types.int64), build


@intrinsic
def _drop_lanes(typing: Any, lanes: Any, bits: Any) -> Any:
    """Per lane: the number where the bit of the lane is set, else 0."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        narrow = builder.trunc(given[1], ir.IntType(COUNT))
        keep = builder.bitcast(narrow, ir.VectorType(ir.IntType(1), COUNT))
        return builder.select(keep, given[0], ir.Constant(given[0].type, [0.0] * COUNT))

    assert isinstance(lanes, Lanes)
    return lanes(lanes, bits), build


def _spread(builder: Any, number: Any) -> Any:
    """An integer in all lanes."""
    undefined = ir.Constant(WORDS, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(HALVES, [0] * COUNT))


PROVIDED = {"random_word": _random_word, "drop_lanes": _drop_lanes}
