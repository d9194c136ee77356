# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Intrinsics for kernels: a tile of a matrix product, and the transpose of a 16 x 16 block. Needs Numba.

They are written as LLVM instructions, so that all accumulators stay in vector registers through the loop. A product
tile is computed in rectangles whose accumulators fit the registers of the processor that is compiled for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic as typed_intrinsic
from numba.np.arrayobj import make_array

from heedful.ops.jit.halves import load_number, load_numbers
from heedful.ops.jit.vectors import COUNT

intrinsic: Any = typed_intrinsic
WORD, HALF_WORD = ir.IntType(64), ir.IntType(32)
ROWS, VECTORS = 8, 2
"""A product tile of 8 rows x 2 vectors of 16 lanes. Float32 accumulators take 16 of the 32 registers of AVX-512."""
FLAGS = ("contract", "nsz", "reassoc")
ALIGN = 4
"""Alignment of loads and stores in bytes: only that of one float32 is known."""


class Matrix:
    """A matrix stored in a 1-D array: base pointer, offset of its first element, and strides in elements."""

    def __init__(
        self, builder: Any, data: Any, begin: Any, *strides: Any, dtype: Any = None
    ) -> None:
        self.builder, self.data, self.begin, self.strides = builder, data, begin, strides
        self.dtype = dtype
        """The elements' type, where it is not that of `data`: numbers of 16 bits."""

    def at(self, *indices: Any) -> Any:
        """The address of an element; an index for each stride."""
        offset = self.begin
        for index, stride in zip(indices, self.strides, strict=True):
            offset = self.builder.add(offset, self.builder.mul(index, stride))
        return self.builder.gep(self.data, [offset], inbounds=True)

    def shifted(self, columns: Any) -> Matrix:
        """The matrix from a column on."""
        begin = self.builder.add(self.begin, columns)
        return Matrix(self.builder, self.data, begin, *self.strides, dtype=self.dtype)


def matrices_of(context: Any, builder: Any, signature: Any, given: Any) -> list[Matrix]:
    """Return the first three arguments of an intrinsic, which are tuples (1-D array, offset, strides), as matrices."""
    found = []
    for value, kind in zip(given[:3], signature.args, strict=False):
        array, *numbers = (builder.extract_value(value, i) for i in range(len(kind)))
        data = make_array(kind[0])(context, builder, array).data
        found.append(Matrix(builder, data, *numbers, dtype=kind[0].dtype))
    return found


class RegisterFile(NamedTuple):
    """The vector registers of a processor."""

    number: int
    bits: int

    @classmethod
    def of(cls, triple: str, cpu: str, features: str) -> RegisterFile:
        """The registers of an LLVM target.

        >>> RegisterFile.of("x86_64-unknown-linux-gnu", "znver3", "+avx2,+fma,-avx512f")
        RegisterFile(number=16, bits=256)
        """
        if triple.startswith(("aarch64", "arm64")):
            return cls(32, 128)
        enabled = features.split(",")
        if "+avx512f" in enabled or cpu in WIDE_NAMES:
            return cls(32, 512)
        if "+avx" in enabled or "+avx2" in enabled or cpu in AVX_NAMES:
            return cls(16, 256)
        return cls(16, 128)

    def rectangle(self, rows: int, lanes: int, element_bits: int) -> tuple[int, int]:
        """Rows and lanes of the largest part of a `rows` x `lanes` tile whose accumulators stay in registers.

        Half of the registers hold accumulators: enough independent chains to hide the latency of a multiply-add on each
        of these processors. The rest holds the operands.

        >>> RegisterFile(16, 256).rectangle(8, 32, 32), RegisterFile(32, 512).rectangle(8, 32, 32)
        ((4, 16), (8, 32))
        """
        accumulators = self.number // 2
        height = min(rows, accumulators // 2)
        across = 1 << (accumulators // height).bit_length() - 1  # a power of two divides the lanes
        return height, min(lanes, across * self.bits // element_bits)


WIDE_NAMES = {"x86-64-v4", "skylake-avx512"}
AVX_NAMES = {"x86-64-v3", "haswell", "broadwell", "skylake"}
"""Processors named without a list of features, as `NUMBA_CPU_NAME` allows."""


def _vector(builder: Any, pointer: Any, index: int, lanes: int = COUNT) -> Any:
    """A pointer to the vector of `lanes` elements number `index` from `pointer` on."""
    kind = ir.VectorType(pointer.type.pointee, lanes)
    address = builder.gep(pointer, [ir.Constant(WORD, index * lanes)], inbounds=True)
    return builder.bitcast(address, kind.as_pointer())


def _broadcast(builder: Any, number: Any, lanes: int) -> Any:
    """A scalar in all lanes of a vector."""
    undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(HALF_WORD, 0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(HALF_WORD, lanes), [0] * lanes)
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
            matrices = matrices_of(context, builder, signature, given)
            registers = RegisterFile.of(*context.codegen().magic_tuple())
            _emit_tile(builder, matrices, given[3:], (rows, vectors * COUNT), registers)
            return context.get_dummy_value()

        return types.void(left, right, result, types.int64, types.int64, types.boolean), build

    return product_tile


def _emit_tile(
    builder: Any,
    matrices: list[Matrix],
    given: Any,
    size: tuple[int, int],
    registers: RegisterFile,
) -> None:
    """Emit the code of a tile, one rectangle after the other, leaving out those without any of the `count` rows."""
    depth, count, fresh = given
    left, right, result = matrices
    bits = 32 if result.data.type.pointee == ir.FloatType() else 64
    height, lanes = registers.rectangle(*size, bits)
    for row in range(0, size[0], height):
        rows = [_limited(builder, row + i, count) for i in range(min(height, size[0] - row))]
        with builder.if_then(builder.icmp_signed("<", ir.Constant(WORD, row), count)):
            for column in range(0, size[1], lanes):
                part = ir.Constant(WORD, column)
                _emit_rectangle(
                    builder, left, right.shifted(part), result.shifted(part), (depth, fresh), rows, lanes
                )  # fmt: skip


def _limited(builder: Any, row: int, count: Any) -> Any:
    """The number of a row, or of the last of `count` rows if there are fewer."""
    number, last = ir.Constant(WORD, row), builder.sub(count, ir.Constant(WORD, 1))
    return builder.select(builder.icmp_signed("<", number, last), number, last)


def _emit_rectangle(
    builder: Any, left: Matrix, right: Matrix, result: Matrix, given: Any, rows: Any, lanes: int
) -> None:
    """Emit a rectangle's code: initialize the accumulators, loop over the inner axis, store the result."""
    depth, fresh = given
    one, zero = ir.Constant(WORD, 1), ir.Constant(WORD, 0)
    starts = [left.at(row, zero) for row in rows]
    targets = [_vector(builder, result.at(row), 0, lanes) for row in rows]
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
    zeros = ir.Constant(loaded[0].type, [0.0] * loaded[0].type.count)
    return [_phi(builder, (zeros, from_then), (one, from_otherwise)) for one in loaded]


def _emit_step(
    builder: Any, left: Matrix, right: Matrix, starts: list[Any], step: Any, sums: list[Any]
) -> list[Any]:
    """The accumulators after one step of the inner axis: the outer product of a column and a row is added."""
    lanes, updated = sums[0].type.count, []
    loaded = load_numbers(builder, right.dtype, right.at(step), lanes)
    offset = builder.mul(step, left.strides[1])
    for start, total in zip(starts, sums, strict=True):
        number = load_number(builder, left.dtype, builder.gep(start, [offset], inbounds=True))
        term = builder.fmul(_broadcast(builder, number, lanes), loaded, flags=FLAGS)
        updated.append(builder.fadd(total, term, flags=FLAGS))
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
        block = Matrix(builder, arrays[0], *given[1:3])
        transposed = Matrix(builder, arrays[1], *given[4:])
        numbers = [ir.Constant(WORD, i) for i in range(COUNT)]
        dtype = signature.args[0].dtype
        rows = [load_numbers(builder, dtype, block.at(i), COUNT) for i in numbers]
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
    "product_4x64": _tile(4, 4),
    "product_8x16": _tile(8, 1),
    "transpose_block": _transpose,
}
