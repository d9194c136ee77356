# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""SIMD vectors of 16 lanes as a Numba type, with loads, stores, arithmetic and reductions. Needs Numba.

LLVM's loop vectorizer does not keep accumulators in registers across an outer loop, and it emits overlap checks for
every pair of arrays. Kernels for which this matters use explicit vectors.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as typed_intrinsic
from numba.extending import lower_builtin, models, register_model
from numba.np.arrayobj import make_array

from heedful.ops.jit.halves import load_numbers, number_type, store_numbers
from heedful.ops.jit.source import LANES

intrinsic: Any = typed_intrinsic
COUNT = LANES


class Lanes(types.Type):
    """Numba type of a vector of 16 elements; LLVM splits it over several registers where they are narrower."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """Represents `Lanes` as an LLVM vector."""

    def __init__(self, manager: Any, kind: Lanes) -> None:
        element = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, COUNT))


def _address(context: Any, builder: Any, kind: Any, array: Any, begin: Any) -> Any:
    """A pointer to an element of a 1-D array."""
    return builder.gep(make_array(kind)(context, builder, array).data, [begin])


@intrinsic
def _load(typing: Any, array: Any, begin: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        address = _address(context, builder, signature.args[0], *given)
        return load_numbers(builder, array.dtype, address, COUNT)

    return Lanes(number_type(array.dtype))(array, begin), build


@intrinsic
def _store(typing: Any, array: Any, begin: Any, value: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        address = _address(context, builder, signature.args[0], *given[:2])
        store_numbers(builder, array.dtype, given[2], address)
        return context.get_dummy_value()

    return types.void(array, begin, value), build


def _as_lanes(context: Any, builder: Any, value: Any, kind: Any, wanted: Lanes) -> Any:
    """Convert a value to a vector; a scalar is broadcast to all lanes."""
    if isinstance(kind, Lanes):
        return value
    number = context.cast(builder, value, kind, wanted.dtype)
    undefined = ir.Constant(ir.VectorType(number.type, COUNT), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    first_lane = ir.Constant(ir.VectorType(ir.IntType(32), COUNT), [0] * COUNT)
    return builder.shuffle_vector(first, undefined, first_lane)


@intrinsic
def _splat(typing: Any, number: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _as_lanes(context, builder, given[0], number, Lanes(number))

    return Lanes(number)(number), build


@intrinsic
def _select_positive(typing: Any, lanes: Any, above: Any, below: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        zero = ir.Constant(given[0].type, [0.0] * COUNT)
        kinds = signature.args[1:]
        choice = [
            _as_lanes(context, builder, value, kind, lanes)
            for value, kind in zip(given[1:], kinds, strict=True)
        ]
        return builder.select(builder.fcmp_ordered(">", given[0], zero), *choice)

    return lanes(lanes, above, below), build


@intrinsic
def _keep_lanes(typing: Any, lanes: Any, bits: Any) -> Any:
    """Per lane: the number where the bit of the lane is set, else minus infinity."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        narrow = builder.trunc(given[1], ir.IntType(COUNT))
        keep = builder.bitcast(narrow, ir.VectorType(ir.IntType(1), COUNT))
        hidden = ir.Constant(given[0].type, [float("-inf")] * COUNT)
        return builder.select(keep, given[0], hidden)

    return lanes(lanes, bits), build


def _reduce(builder: Any, name: str, lanes: Any, *start: Any, flags: tuple[str, ...]) -> Any:
    """Call LLVM's reduction `name` of a vector to a scalar."""
    element = lanes.type.element
    text = f"llvm.vector.reduce.{name}.v{COUNT}f{32 if element == ir.FloatType() else 64}"
    kind = ir.FunctionType(element, [*(one.type for one in start), lanes.type])
    function = builder.module.globals.get(text) or ir.Function(builder.module, kind, text)
    return builder.call(function, [*start, lanes], fastmath=flags)


@intrinsic
def _reduce_sum(typing: Any, lanes: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        # -0.0 is the neutral element of addition: 0.0 would turn a sum of -0.0 into 0.0.
        start = ir.Constant(given[0].type.element, -0.0)
        return _reduce(builder, "fadd", given[0], start, flags=("reassoc",))

    return lanes.dtype(lanes), build


@intrinsic
def _reduce_max(typing: Any, lanes: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _reduce(builder, "fmax", given[0], flags=())

    return lanes.dtype(lanes), build


def _arithmetic(symbol: Callable[..., Any], name: str) -> None:
    """Type and lower a binary operator whose operands are vectors, or a vector and a scalar.

    The metadata let Numba try this template before the dozens of its own, each of which would fail with an error.
    """

    class Arithmetic(AbstractTemplate):
        key = symbol

        def generic(self, args: Any, kws: Any) -> Any:
            for kind in args:
                if isinstance(kind, Lanes):
                    return signature(kind, *args)
            return None

    def lower(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        pairs = zip(given, signature.args, strict=True)
        both = [
            _as_lanes(context, builder, value, one, signature.return_type) for value, one in pairs
        ]
        return getattr(builder, name)(*both, flags=("contract", "nsz"))

    Arithmetic.metadata = {"target": "cpu"}
    infer_global(symbol, types.Function(Arithmetic))
    for kinds in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(symbol, *kinds)(lower)


for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_symbol, _name)

PROVIDED = {
    "load": _load,
    "store": _store,
    "splat": _splat,
    "reduce_sum": _reduce_sum,
    "reduce_max": _reduce_max,
    "select_positive": _select_positive,
    "keep_lanes": _keep_lanes,
}
