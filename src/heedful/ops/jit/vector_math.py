# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Intrinsics for kernels: maximum and e^x of vectors of 16 lanes. Needs Numba."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from heedful.ops.jit.vectors import COUNT, intrinsic

SINGLE = {
    "lowest": -87.0, "highest": 88.0, "bits": 32, "bias": 127, "fraction": 23,
    "series": [
        0.0013264726723336052, 0.009671512724003737, 0.05550733745297692, 0.2402224208384728,
        0.6931469775975275, 1.0,
    ],
}  # fmt: skip
"""Constants for float32. The polynomial of the remainder r, highest power first, differs from 2^r by at most 1e-7 of it
for |r| <= 1/2. That log2 e is rounded changes e^x by at most 2e-8 |x| of it: less than that x is."""
DOUBLE = {
    "lowest": -708.0, "highest": 709.0, "bits": 64, "bias": 1023, "fraction": 52,
    "series": [math.log(2) ** n / math.factorial(n) for n in range(13, -1, -1)],
}  # fmt: skip
"""Constants for float64. For |r| <= 1/2 the Taylor series of 2^r up to r^13 is exact to rounding."""


@intrinsic
def _maximum(typing: Any, one: Any, other: Any) -> Any:
    """The maximum per lane; the second operand where the first is NaN."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *given), *given)

    return one(one, other), build


def _exponential(has_limit: bool) -> Any:
    """Return an intrinsic that computes e^x per lane, with or without a limit from above."""

    @intrinsic
    def exponential(typing: Any, lanes: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            return _Exponential(builder, given[0].type).emit(given[0], has_limit)

        return lanes(lanes), build

    return exponential


class _Exponential:
    """Emits e^x = 2^n 2^r, with n an integer and |r| <= 1/2.

    Adding 1.5 * 2^23 (float32) to a number rounds it to an integer, which is then in the lowest bits of the sum. With
    the exponent's bias added, too, they are the exponent of 2^n, and a shift moves them where it belongs.
    """

    def __init__(self, builder: Any, kind: Any) -> None:
        self.builder, self.kind = builder, kind
        self.numbers: dict[str, Any] = SINGLE if kind.element == ir.FloatType() else DOUBLE

    def constant(self, number: float) -> Any:
        return ir.Constant(self.kind, [number] * COUNT)

    def multiply_add(self, left: Any, right: Any, added: Any) -> Any:
        return self.call("fmuladd", left, right, added)

    def fenced(self, x: Any) -> Any:
        """The same number, through which no sum is reordered: kernels allow that, and the rounding would be lost."""
        return self.call("arithmetic.fence", x)

    def call(self, intrinsic: str, *numbers: Any) -> Any:
        """Call an intrinsic of LLVM."""
        module, name = self.builder.module, f"llvm.{intrinsic}.v{COUNT}f{self.numbers['bits']}"
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(self.kind, [self.kind] * len(numbers)), name
        )
        return self.builder.call(function, numbers)

    def emit(self, x: Any, has_limit: bool) -> Any:
        builder, numbers = self.builder, self.numbers
        lowest, highest = self.constant(numbers["lowest"]), self.constant(numbers["highest"])
        clamped = x
        if has_limit:
            clamped = builder.select(builder.fcmp_ordered(">", x, highest), highest, x)
        factor = self.constant(1 / math.log(2))
        rounder = self.constant(1.5 * 2.0 ** numbers["fraction"] + numbers["bias"])
        shifted = self.fenced(self.multiply_add(clamped, factor, rounder))
        whole = builder.fsub(shifted, rounder)
        rest = self.multiply_add(clamped, factor, builder.fneg(whole))
        first, *others = numbers["series"]
        series = self.constant(first)
        for number in others:
            series = self.multiply_add(series, rest, self.constant(number))
        result = builder.fmul(series, self.power_of_two(shifted))
        return builder.select(builder.fcmp_ordered("<", x, lowest), self.constant(0.0), result)

    def power_of_two(self, shifted: Any) -> Any:
        """The power of two whose exponent, bias included, is in the lowest bits."""
        builder, numbers = self.builder, self.numbers
        integers = ir.VectorType(ir.IntType(numbers["bits"]), COUNT)
        shift = ir.Constant(integers, [numbers["fraction"]] * COUNT)
        return builder.bitcast(builder.shl(builder.bitcast(shifted, integers), shift), self.kind)


PROVIDED = {
    "maximum": _maximum,
    "exp_or_zero": _exponential(has_limit=True),
    "exp_below_one": _exponential(has_limit=False),
}
