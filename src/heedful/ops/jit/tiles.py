# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Intrinsics for kernels: a register tile of a matrix product, and the transpose of a 16 x 16 block. Needs Numba.

They are written as LLVM instructions, so that all accumulators stay in vector registers through the loop.
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
"""A register tile of 8 rows x 2 vectors: its accumulators take 16 of the 32 registers of 16 lanes."""
FLAGS = ("contract", "nsz", "reassoc")
ALIGN = 4
"""Alignment of loads and stores in bytes: only that of one float32 is known."""


class _Matrix:
    """A matrix stored in a 1-D array: base pointer, offset of its first element, and strides in elements."""

    def __init__(self, builder: Any, data: Any, begin: Any, *strides: Any) -> None:
        self.builder, self.data, self.begin, self.strides = builder, data, begin, strides

    def at(self, *indices: Any) -> Any:
        """The address of an element; an index for each stride."""
        offset = self.begin
        for index, stride in zip(indices, self.strides, strict=True):
            offset = self.builder.add(offset, self.builder.mul(index, stride))
        return self.builder.gep(self.data, [offset], inbounds=True)


def _vector(builder: Any, pointer: Any, index: int) -> Any:
    """A pointer to the vector of 16 elements number `index` from `pointer` on."""
    kind = ir.VectorType(pointer.type.pointee, COUNT)
    address = builder.gep(pointer, [ir.Constant(WORD, index * COUNT)], inbounds=True)
    return builder.bitcast(address, kind.as_pointer())


def _broadcast(builder: Any, number: Any) -> Any:
    """A scalar in all lanes of a vector."""
    undefined = ir.Constant(ir.VectorType(number.type, COUNT), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(HALF_WORD, 0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(HALF_WORD, COUNT), [0] * COUNT)
    )


def _tile(rows: int, vectors: int) -> Any:
    """Return an intrinsic that computes a tile of left · right, `rows` x (16 · `vectors`), with inner size `depth`.

    Each matrix is a tuple (1-D array, offset, row stride), and left has its column stride as a fourth item. `fresh`
    writes the result, otherwise it is accumulated. If only `count` < `rows` rows exist, the last row is computed
    repeatedly instead of branching.
    """

    @intrinsic
    def product_tile(
        typing: Any, left: Any, right: Any, result: Any, depth: Any, count: Any, fresh: Any
    ) -> Any:
        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            matrices = []
            for value, kind in zip(given[:3], signature.args, strict=False):
                array, *numbers = (builder.extract_value(value, i) for i in range(len(kind)))
                data = make_array(kind[0])(context, builder, array).data
                matrices.append(_Matrix(builder, data, *numbers))
            _emit_product(builder, matrices, given[3:], rows, vectors)
            return context.get_dummy_value()

        return types.void(left, right, result, types.int64, types.int64, types.boolean), build

    return product_tile


def _emit_product(
    builder: Any, matrices: list[_Matrix], given: Any, rows: int, vectors: int
) -> None:
    """Emit the tile's code: initialize the accumulators, loop over the inner axis, store the result."""
    left, right, result = matrices
    depth, count, fresh = given
    one, zero = ir.Constant(WORD, 1), ir.Constant(WORD, 0)
    last, indices = builder.sub(count, one), []
    for row in range(rows):
        number = ir.Constant(WORD, row)
        indices.append(builder.select(builder.icmp_signed("<", number, last), number, last))
    starts = [left.at(index, zero) for index in indices]
    targets = [_vector(builder, result.at(index), v) for index in indices for v in range(vectors)]
    initial = _emit_initial(builder, targets, fresh)
    before, body = builder.block, builder.append_basic_block("product")
    after = builder.append_basic_block("product.end")
    builder.cbranch(builder.icmp_signed(">", depth, zero), body, after)
    builder.position_at_end(body)
    step, sums = builder.phi(WORD), [builder.phi(start.type) for start in initial]
    updated = _emit_step(builder, left, right, starts, step, sums)
    following = builder.add(step, one)
    builder.cbranch(builder.icmp_signed("<", following, depth), body, after)
    step.add_incoming(zero, before)
    step.add_incoming(following, body)
    for sum_, start, end in zip(sums, initial, updated, strict=True):
        sum_.add_incoming(start, before)
        sum_.add_incoming(end, body)
    builder.position_at_end(after)
    finals = [
        _phi(builder, (start, before), (end, body))
        for start, end in zip(initial, updated, strict=True)
    ]
    for target, final in zip(targets, finals, strict=True):
        builder.store(final, target, align=ALIGN)


def _emit_initial(builder: Any, targets: list[Any], fresh: Any) -> list[Any]:
    """The accumulators before the loop: zeros if `fresh`, else the values of the result."""
    with builder.if_else(fresh) as (then, otherwise):
        with then:
            from_then = builder.block
        with otherwise:
            loaded = [builder.load(target, align=ALIGN) for target in targets]
            from_otherwise = builder.block
    zeros = ir.Constant(loaded[0].type, [0.0] * COUNT)
    return [_phi(builder, (zeros, from_then), (one, from_otherwise)) for one in loaded]


def _emit_step(
    builder: Any, left: _Matrix, right: _Matrix, starts: list[Any], step: Any, sums: list[Any]
) -> list[Any]:
    """The accumulators after one step of the inner axis: the outer product of a column and a row is added."""
    vectors = len(sums) // len(starts)
    source, updated = right.at(step), []
    loaded = [builder.load(_vector(builder, source, v), align=ALIGN) for v in range(vectors)]
    offset = builder.mul(step, left.strides[1])
    for row, start in enumerate(starts):
        number = builder.load(builder.gep(start, [offset], inbounds=True))
        factor = _broadcast(builder, number)
        for v, lanes in enumerate(loaded):
            term = builder.fmul(factor, lanes, flags=FLAGS)
            updated.append(builder.fadd(sums[row * vectors + v], term, flags=FLAGS))
    return updated


def _phi(builder: Any, *incoming: tuple[Any, Any]) -> Any:
    """A phi node of (value, block it comes from)."""
    value = builder.phi(incoming[0][0].type)
    for one, block in incoming:
        value.add_incoming(one, block)
    return value


@intrinsic
def _transpose(
    typing: Any, source: Any, begin: Any, stride: Any, target: Any, to: Any, to_stride: Any
) -> Any:
    """Transpose a 16 x 16 block in registers.

    `begin` and `stride` are offset and row stride of the source, `to` and `to_stride` those of the target.
    """

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays = [make_array(signature.args[i])(context, builder, given[i]).data for i in (0, 3)]
        block = _Matrix(builder, arrays[0], *given[1:3])
        transposed = _Matrix(builder, arrays[1], *given[4:])
        numbers = [ir.Constant(WORD, i) for i in range(COUNT)]
        rows = [builder.load(_vector(builder, block.at(i), 0), align=ALIGN) for i in numbers]
        distance = COUNT // 2
        while distance:
            rows = _exchange(builder, rows, distance)
            distance //= 2
        for i, row in zip(numbers, rows, strict=True):
            builder.store(row, _vector(builder, transposed.at(i), 0), align=ALIGN)
        return context.get_dummy_value()

    index = types.int64
    return types.void(source, index, index, target, index, index), build


def _exchange(builder: Any, rows: list[Any], distance: int) -> list[Any]:
    """One step of the transpose: swap the off-diagonal blocks of size `distance` between rows `distance` apart."""
    kind = ir.VectorType(HALF_WORD, COUNT)
    upper = [i if not i & distance else COUNT + i - distance for i in range(COUNT)]
    lower = [i + distance if not i & distance else COUNT + i for i in range(COUNT)]
    result = list(rows)
    for i in range(COUNT):
        if not i & distance:
            pair = rows[i], rows[i + distance]
            result[i] = builder.shuffle_vector(*pair, ir.Constant(kind, upper))
            result[i + distance] = builder.shuffle_vector(*pair, ir.Constant(kind, lower))
    return result


PROVIDED = {
    "product_tile": _tile(ROWS, VECTORS),
    "product_row": _tile(1, 4),
    "transpose_block": _transpose,
}
