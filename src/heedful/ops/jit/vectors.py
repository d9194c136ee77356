# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Sixteen numbers at a time, as a value of compiled code. Imported by what needs Numba.

LLVM's own vectorizer keeps no sums in registers across an outer loop, and asks of every pair of arrays whether they
overlap. Where that takes as long as the work, a kernel says itself what its lanes hold.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic as typed_intrinsic
from numba.extending import models, overload, register_model
from numba.np.arrayobj import make_array

intrinsic: Any = typed_intrinsic
COUNT = 16


class Lanes(types.Type):
    """COUNT numbers of a dtype; a processor with narrower registers takes several for them."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """An LLVM vector."""

    def __init__(self, manager: Any, kind: Lanes) -> None:
        element = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, COUNT))


def _place(context: Any, builder: Any, kind: Any, array: Any, begin: Any) -> Any:
    data = make_array(kind)(context, builder, array).data
    vector = ir.VectorType(data.type.pointee, COUNT)
    return builder.bitcast(builder.gep(data, [begin]), vector.as_pointer())


@intrinsic
def _load(typing: Any, array: Any, begin: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        place = _place(context, builder, signature.args[0], *given)
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, begin), build


@intrinsic
def _store(typing: Any, array: Any, begin: Any, value: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        place = _place(context, builder, signature.args[0], *given[:2])
        builder.store(given[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, begin, value), build


def _as_lanes(context: Any, builder: Any, value: Any, kind: Any, wanted: Lanes) -> Any:
    """A value as lanes: a number is put into all of them."""
    if isinstance(kind, Lanes):
        return value
    number = context.cast(builder, value, kind, wanted.dtype)
    none = ir.Constant(ir.VectorType(number.type, COUNT), ir.Undefined)
    first = builder.insert_element(none, number, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), COUNT), [0] * COUNT)
    return builder.shuffle_vector(first, none, everywhere)


@intrinsic
def _spread(typing: Any, number: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _as_lanes(context, builder, given[0], number, Lanes(number))

    return Lanes(number)(number), build


@intrinsic
def _where_positive(typing: Any, lanes: Any, above: Any, below: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        zero = ir.Constant(given[0].type, [0.0] * COUNT)
        kinds = signature.args[1:]
        choice = [
            _as_lanes(context, builder, value, kind, lanes)
            for value, kind in zip(given[1:], kinds, strict=True)
        ]
        return builder.select(builder.fcmp_ordered(">", given[0], zero), *choice)

    return lanes(lanes, above, below), build


def _reduced(builder: Any, name: str, lanes: Any, *start: Any, flags: tuple[str, ...]) -> Any:
    element = lanes.type.element
    text = f"llvm.vector.reduce.{name}.v{COUNT}f{32 if element == ir.FloatType() else 64}"
    kind = ir.FunctionType(element, [*(one.type for one in start), lanes.type])
    function = builder.module.globals.get(text) or ir.Function(builder.module, kind, text)
    return builder.call(function, [*start, lanes], fastmath=flags)


@intrinsic
def _sum_of(typing: Any, lanes: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        # the start of a sum that changes nothing is minus zero
        start = ir.Constant(given[0].type.element, -0.0)
        return _reduced(builder, "fadd", given[0], start, flags=("reassoc",))

    return lanes.dtype(lanes), build


@intrinsic
def _highest_of(typing: Any, lanes: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _reduced(builder, "fmax", given[0], flags=())

    return lanes.dtype(lanes), build


@intrinsic
def _limited(typing: Any, lanes: Any, low: Any, high: Any) -> Any:
    """NaN stays."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value = given[0]
        for order, bound, kind in (("<", given[1], low), (">", given[2], high)):
            end = _as_lanes(context, builder, bound, kind, lanes)
            value = builder.select(builder.fcmp_ordered(order, value, end), end, value)
        return value

    return lanes(lanes, low, high), build


@intrinsic
def _floor_of(typing: Any, lanes: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.call(_function(builder, "floor", given[0].type), given)

    return lanes(lanes), build


@intrinsic
def _power_of_two(typing: Any, lanes: Any) -> Any:
    """2^n of whole numbers n in float32: they are its exponent."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        whole = ir.VectorType(ir.IntType(32), COUNT)
        bits = builder.add(builder.fptosi(given[0], whole), ir.Constant(whole, [127] * COUNT))
        shifted = builder.shl(bits, ir.Constant(whole, [23] * COUNT))
        return builder.bitcast(shifted, given[0].type)

    return lanes(lanes), build


def _function(builder: Any, name: str, kind: Any) -> Any:
    text = f"llvm.{name}.v{COUNT}f{32 if kind.element == ir.FloatType() else 64}"
    module = builder.module
    return module.globals.get(text) or ir.Function(module, ir.FunctionType(kind, [kind]), text)


def _operation(name: str) -> Callable[..., Any]:
    @intrinsic
    def operation(typing: Any, left: Any, right: Any) -> Any:
        kind = left if isinstance(left, Lanes) else right

        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            pairs = zip(given, signature.args, strict=True)
            both = [_as_lanes(context, builder, value, one, kind) for value, one in pairs]
            return getattr(builder, name)(*both, flags=("contract", "nsz"))

        return kind(left, right), build

    # Without annotations, in which Numba wants the two functions to agree.
    return lambda left, right: (
        (lambda left, right: operation(left, right))  # noqa: PLW0108 - Numba wants a function
        if isinstance(left, Lanes) or isinstance(right, Lanes)
        else None
    )


for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    overload(_symbol)(_operation(_name))

PROVIDED = {
    "load": _load,
    "store": _store,
    "spread": _spread,
    "sum_of": _sum_of,
    "highest_of": _highest_of,
    "where_positive": _where_positive,
    "limited": _limited,
    "floor_of": _floor_of,
    "power_of_two": _power_of_two,
}
