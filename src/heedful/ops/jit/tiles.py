# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Whole loops that a kernel may call: a tile of a matrix product, and a square turned. Imported by what needs Numba.

Written as LLVM's instructions, since their many values must stay in registers through a loop.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic as typed_intrinsic
from numba.np.arrayobj import make_array

from heedful.ops.jit.vectors import COUNT

intrinsic: Any = typed_intrinsic
WORD, HALF_WORD = ir.IntType(64), ir.IntType(32)
ROWS, VECTORS = 8, 2
"""A tile's sums take 16 of the 32 registers that hold 16 numbers each."""
FLAGS = ("contract", "nsz", "reassoc")
ALIGN = 4
"""Bytes: all that is known of an address."""


class _Side:
    """A matrix in a contiguous array of one axis: where it begins, and the distances between neighbours."""

    def __init__(self, builder: Any, data: Any, begin: Any, *steps: Any) -> None:
        self.builder, self.data, self.begin, self.steps = builder, data, begin, steps

    def at(self, *places: Any) -> Any:
        """The address of an element."""
        offset = self.begin
        for place, step in zip(places, self.steps, strict=True):
            offset = self.builder.add(offset, self.builder.mul(place, step))
        return self.builder.gep(self.data, [offset], inbounds=True)


def _vector(builder: Any, pointer: Any, index: int) -> Any:
    kind = ir.VectorType(pointer.type.pointee, COUNT)
    place = builder.gep(pointer, [ir.Constant(WORD, index * COUNT)], inbounds=True)
    return builder.bitcast(place, kind.as_pointer())


def _everywhere(builder: Any, number: Any) -> Any:
    none = ir.Constant(ir.VectorType(number.type, COUNT), ir.Undefined)
    first = builder.insert_element(none, number, ir.Constant(HALF_WORD, 0))
    return builder.shuffle_vector(
        first, none, ir.Constant(ir.VectorType(HALF_WORD, COUNT), [0] * COUNT)
    )


def _tile(rows: int, vectors: int) -> Any:
    """Return what writes or adds `rows` x 16 `vectors` numbers of left · right, `depth` products each.

    The matrices are (array, begin, distance of rows, distance of columns), right and result without the last.
    Where there are but `count` rows the last one is computed several times.
    """

    @intrinsic
    def product_tile(
        typing: Any, left: Any, right: Any, result: Any, depth: Any, count: Any, fresh: Any
    ) -> Any:
        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            sides = []
            for value, kind in zip(given[:3], signature.args, strict=False):
                array, *numbers = (builder.extract_value(value, i) for i in range(len(kind)))
                data = make_array(kind[0])(context, builder, array).data
                sides.append(_Side(builder, data, *numbers))
            _product(builder, sides, given[3:], rows, vectors)
            return context.get_dummy_value()

        return types.void(left, right, result, types.int64, types.int64, types.boolean), build

    return product_tile


def _product(builder: Any, sides: list[_Side], given: Any, rows: int, vectors: int) -> None:
    """Emit what computes a tile: begin its sums, add the products, and write it."""
    left, right, result = sides
    depth, count, fresh = given
    one, zero = ir.Constant(WORD, 1), ir.Constant(WORD, 0)
    last, places = builder.sub(count, one), []
    for row in range(rows):
        number = ir.Constant(WORD, row)
        places.append(builder.select(builder.icmp_signed("<", number, last), number, last))
    starts = [left.at(place, zero) for place in places]
    targets = [_vector(builder, result.at(place), v) for place in places for v in range(vectors)]
    begun = _begun(builder, targets, fresh)
    before, body = builder.block, builder.append_basic_block("product")
    after = builder.append_basic_block("product.end")
    builder.cbranch(builder.icmp_signed(">", depth, zero), body, after)
    builder.position_at_end(body)
    step, sums = builder.phi(WORD), [builder.phi(start.type) for start in begun]
    ends = _added(builder, left, right, starts, step, sums)
    following = builder.add(step, one)
    builder.cbranch(builder.icmp_signed("<", following, depth), body, after)
    step.add_incoming(zero, before)
    step.add_incoming(following, body)
    for sum_, start, end in zip(sums, begun, ends, strict=True):
        sum_.add_incoming(start, before)
        sum_.add_incoming(end, body)
    builder.position_at_end(after)
    finals = [
        _either(builder, (start, before), (end, body))
        for start, end in zip(begun, ends, strict=True)
    ]
    for target, final in zip(targets, finals, strict=True):
        builder.store(final, target, align=ALIGN)


def _begun(builder: Any, targets: list[Any], fresh: Any) -> list[Any]:
    """Zeros, or what the result holds."""
    with builder.if_else(fresh) as (then, otherwise):
        with then:
            from_then = builder.block
        with otherwise:
            held = [builder.load(target, align=ALIGN) for target in targets]
            from_otherwise = builder.block
    zeros = ir.Constant(held[0].type, [0.0] * COUNT)
    return [_either(builder, (zeros, from_then), (one, from_otherwise)) for one in held]


def _added(
    builder: Any, left: _Side, right: _Side, starts: list[Any], step: Any, sums: list[Any]
) -> list[Any]:
    """The sums and one product more."""
    vectors = len(sums) // len(starts)
    source, ends = right.at(step), []
    loaded = [builder.load(_vector(builder, source, v), align=ALIGN) for v in range(vectors)]
    offset = builder.mul(step, left.steps[1])
    for row, start in enumerate(starts):
        number = builder.load(builder.gep(start, [offset], inbounds=True))
        factor = _everywhere(builder, number)
        for v, lanes in enumerate(loaded):
            term = builder.fmul(factor, lanes, flags=FLAGS)
            ends.append(builder.fadd(sums[row * vectors + v], term, flags=FLAGS))
    return ends


def _either(builder: Any, *ways: tuple[Any, Any]) -> Any:
    """The value that belongs to the block come from."""
    value = builder.phi(ways[0][0].type)
    for one, block in ways:
        value.add_incoming(one, block)
    return value


@intrinsic
def _turn(
    typing: Any, source: Any, begin: Any, stride: Any, target: Any, place: Any, step: Any
) -> Any:
    """Write a square of 16 x 16 numbers turned over its diagonal."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays = [make_array(signature.args[i])(context, builder, given[i]).data for i in (0, 3)]
        start, end = _Side(builder, arrays[0], *given[1:3]), _Side(builder, arrays[1], *given[4:])
        numbers = [ir.Constant(WORD, i) for i in range(COUNT)]
        rows = [builder.load(_vector(builder, start.at(i), 0), align=ALIGN) for i in numbers]
        distance = COUNT // 2
        while distance:
            rows = _exchanged(builder, rows, distance)
            distance //= 2
        for i, row in zip(numbers, rows, strict=True):
            builder.store(row, _vector(builder, end.at(i), 0), align=ALIGN)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(source, whole, whole, target, whole, whole), build


def _exchanged(builder: Any, rows: list[Any], distance: int) -> list[Any]:
    """Swap, in each pair of rows so far apart, the blocks of that size beside the diagonal."""
    kind = ir.VectorType(HALF_WORD, COUNT)
    upper = [i if not i & distance else COUNT + i - distance for i in range(COUNT)]
    lower = [i + distance if not i & distance else COUNT + i for i in range(COUNT)]
    found = list(rows)
    for i in range(COUNT):
        if not i & distance:
            pair = rows[i], rows[i + distance]
            found[i] = builder.shuffle_vector(*pair, ir.Constant(kind, upper))
            found[i + distance] = builder.shuffle_vector(*pair, ir.Constant(kind, lower))
    return found


PROVIDED = {"product_tile": _tile(ROWS, VECTORS), "product_row": _tile(1, 4), "turn": _turn}
