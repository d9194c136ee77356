# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Functions of sixteen numbers at a time, as values of compiled code. Imported by what needs Numba."""

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
"""Cephes' expf: a polynomial for the rest, from its highest power down."""
DOUBLE = {
    "lowest": -708.0, "highest": 709.0, "bits": 64, "bias": 1023, "fraction": 52,
    "ln2": (6.93145751953125e-1, 1.42860682030941723212e-6),
    "series": [1 / math.factorial(n) for n in range(13, -1, -1)],
}  # fmt: skip
"""Of numbers up to ln 2 / 2, thirteen terms of the series leave less than a rounding."""


@intrinsic
def _higher_of(typing: Any, one: Any, other: Any) -> Any:
    """The higher of each two; the second, where the first is NaN."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *given), *given)

    return one(one, other), build


@intrinsic
def _weight_of(typing: Any, lanes: Any) -> Any:
    """e^x; exactly 0 where it would fall below the smallest normal number, NaN of NaN."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _Exponential(builder, given[0].type).of(given[0])

    return lanes(lanes), build


class _Exponential:
    """Writes e^x = 2^n e^r, n whole and r at most ln 2 / 2 on either side."""

    def __init__(self, builder: Any, kind: Any) -> None:
        self.builder, self.kind = builder, kind
        self.numbers: dict[str, Any] = SINGLE if kind.element == ir.FloatType() else DOUBLE

    def every(self, number: float) -> Any:
        return ir.Constant(self.kind, [number] * COUNT)

    def times_plus(self, left: Any, right: Any, added: Any) -> Any:
        product = self.builder.fmul(left, right, flags=("contract",))
        return self.builder.fadd(product, added, flags=("contract",))

    def of(self, x: Any) -> Any:
        builder, numbers = self.builder, self.numbers
        lowest, highest = self.every(numbers["lowest"]), self.every(numbers["highest"])
        within = builder.select(builder.fcmp_ordered(">", x, highest), highest, x)
        within = builder.select(builder.fcmp_ordered("<", within, lowest), lowest, within)
        name = f"llvm.floor.v{COUNT}f{numbers['bits']}"
        floor = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(self.kind, [self.kind]), name
        )
        scaled = self.times_plus(within, self.every(1 / math.log(2)), self.every(0.5))
        whole = builder.call(floor, [scaled])
        rest = within
        for part in numbers["ln2"]:
            rest = self.times_plus(whole, self.every(-part), rest)
        first, *others = numbers["series"]
        series = self.every(first)
        for factor in others:
            series = self.times_plus(series, rest, self.every(factor))
        result = builder.fmul(series, self.power_of_two(whole))
        return builder.select(builder.fcmp_ordered("<", x, lowest), self.every(0.0), result)

    def power_of_two(self, whole: Any) -> Any:
        builder, bits = self.builder, self.numbers["bits"]
        integers = ir.VectorType(ir.IntType(bits), COUNT)
        exponent = builder.add(
            builder.fptosi(whole, integers), ir.Constant(integers, [self.numbers["bias"]] * COUNT)
        )
        shift = ir.Constant(integers, [self.numbers["fraction"]] * COUNT)
        return builder.bitcast(builder.shl(exponent, shift), self.kind)


PROVIDED = {"higher_of": _higher_of, "weight_of": _weight_of}
