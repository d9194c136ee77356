# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Intrinsics for kernels: maximum and e^x of vectors of 16 lanes. Needs Numba."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from heedful.ops.jit.exponential import LN2_HIGH, LN2_LOW, P0, P1, P2, P3, P4, P5
from heedful.ops.jit.vectors import COUNT, intrinsic

SINGLE = {
    "lowest": -87.0, "highest": 88.0, "bits": 32, "bias": 127, "fraction": 23,
    "ln2": (float(LN2_HIGH), float(LN2_LOW)),
    "series": [float(p) for p in (P0, P1, P2, P3, P4, P5)] + [1.0, 1.0],
}  # fmt: skip
"""Constants of Cephes' expf: the polynomial of the remainder r, highest power first."""
DOUBLE = {
    "lowest": -708.0, "highest": 709.0, "bits": 64, "bias": 1023, "fraction": 52,
    "ln2": (6.93145751953125e-1, 1.42860682030941723212e-6),
    "series": [1 / math.factorial(n) for n in range(13, -1, -1)],
}  # fmt: skip
"""Constants for float64. For |r| <= ln 2 / 2 the Taylor series up to r^13 is exact to rounding."""


@intrinsic
def _maximum(typing: Any, one: Any, other: Any) -> Any:
    """The maximum per lane; the second operand where the first is NaN."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *given), *given)

    return one(one, other), build


@intrinsic
def _exp_or_zero(typing: Any, lanes: Any) -> Any:
    """e^x per lane: exactly 0 below the smallest normal number, NaN for NaN."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _Exponential(builder, given[0].type).emit(given[0])

    return lanes(lanes), build


class _Exponential:
    """Emits e^x = 2^n e^r, with n an integer and |r| <= ln 2 / 2."""

    def __init__(self, builder: Any, kind: Any) -> None:
        self.builder, self.kind = builder, kind
        self.numbers: dict[str, Any] = SINGLE if kind.element == ir.FloatType() else DOUBLE

    def constant(self, number: float) -> Any:
        return ir.Constant(self.kind, [number] * COUNT)

    def multiply_add(self, left: Any, right: Any, added: Any) -> Any:
        product = self.builder.fmul(left, right, flags=("contract",))
        return self.builder.fadd(product, added, flags=("contract",))

    def emit(self, x: Any) -> Any:
        builder, numbers = self.builder, self.numbers
        lowest, highest = self.constant(numbers["lowest"]), self.constant(numbers["highest"])
        clamped = builder.select(builder.fcmp_ordered(">", x, highest), highest, x)
        clamped = builder.select(builder.fcmp_ordered("<", clamped, lowest), lowest, clamped)
        name = f"llvm.floor.v{COUNT}f{numbers['bits']}"
        floor = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(self.kind, [self.kind]), name
        )
        scaled = self.multiply_add(clamped, self.constant(1 / math.log(2)), self.constant(0.5))
        whole = builder.call(floor, [scaled])
        rest = clamped
        for part in numbers["ln2"]:
            rest = self.multiply_add(whole, self.constant(-part), rest)
        first, *others = numbers["series"]
        series = self.constant(first)
        for factor in others:
            series = self.multiply_add(series, rest, self.constant(factor))
        result = builder.fmul(series, self.power_of_two(whole))
        return builder.select(builder.fcmp_ordered("<", x, lowest), self.constant(0.0), result)

    def power_of_two(self, whole: Any) -> Any:
        builder, bits = self.builder, self.numbers["bits"]
        integers = ir.VectorType(ir.IntType(bits), COUNT)
        exponent = builder.add(
            builder.fptosi(whole, integers), ir.Constant(integers, [self.numbers["bias"]] * COUNT)
        )
        shift = ir.Constant(integers, [self.numbers["fraction"]] * COUNT)
        return builder.bitcast(builder.shl(exponent, shift), self.kind)


PROVIDED = {"maximum": _maximum, "exp_or_zero": _exp_or_zero}
