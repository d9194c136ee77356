# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Intrinsics for kernels: inner products of a few rows with rows of another matrix, both as they lie. Needs Numba.

A product tile wants one operand transposed. Where that operand is read once, as the keys of one query are, transposing
costs more than the product. Here sixteen sums of vectors run along the features, and are reduced together: a tree of
shuffles takes fifteen additions for sixteen vectors of sixteen lanes, where reducing each would take sixty.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic as typed_intrinsic

from heedful.ops.jit.halves import load_numbers, number_type
from heedful.ops.jit.tiles import FLAGS, WORD, Matrix, RegisterFile, matrices_of
from heedful.ops.jit.vectors import COUNT

intrinsic: Any = typed_intrinsic


def _dots(rows: int) -> Any:
    """Return an intrinsic for result[k, r] = Σ_f source[k, f] queries[r, f], `rows` queries and 16 / `rows` keys.

    Source and queries are tuples (1-D array, offset, row stride), the result (1-D array, offset): 16 numbers, those of
    a key beside each other. `features` is at least 16. If it is no multiple of 16, the last vector of a source's row
    ends with the row; the queries' last vector holds zeros for the features that the one before holds too, so its rows
    are a multiple of 16 long. If only `count` keys exist, the last one is computed repeatedly.
    """

    @intrinsic
    def dots(typing: Any, source: Any, queries: Any, result: Any, features: Any, count: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            matrices = matrices_of(context, builder, signature, given)
            registers = RegisterFile.of(*context.codegen().magic_tuple())
            bits = number_type(source[0].dtype).bitwidth
            sums, lanes = registers.number // 2, min(COUNT, registers.bits // bits)
            for first in range(0, COUNT, sums):
                _Dots(builder, matrices, rows, lanes).emit(
                    given[3], given[4], first, min(sums, COUNT)
                )
            return context.get_dummy_value()

        return types.void(source, queries, result, types.int64, types.int64), build

    return dots


class _Dots:
    """Emits the code of `sums` inner products, from number `first` of the 16 on."""

    def __init__(self, builder: Any, matrices: list[Matrix], rows: int, lanes: int) -> None:
        self.builder, self.rows, self.lanes = builder, rows, lanes
        self.source, self.queries, self.result = matrices

    def emit(self, features: Any, count: Any, first: int, sums: int) -> None:
        builder, rows = self.builder, self.rows
        keys = [_limited(builder, (first + i) // rows, count) for i in range(0, sums, rows)]
        starts = [self.source.at(key) for key in keys]
        queries = [self.queries.at(ir.Constant(WORD, row)) for row in range(min(rows, sums))]
        zero, size = ir.Constant(WORD, 0), ir.Constant(WORD, COUNT)
        last = builder.sub(features, size)
        before, body = builder.block, builder.append_basic_block("dots")
        after = builder.append_basic_block("dots.end")
        builder.branch(body)
        builder.position_at_end(body)
        step = builder.phi(WORD)
        element = queries[0].type.pointee
        kind = ir.VectorType(element, self.lanes)
        totals = [builder.phi(kind) for _ in range(sums)]
        beyond = builder.icmp_signed(">", step, last)
        place = builder.select(beyond, last, step)
        updated = list(totals)
        for part in range(0, COUNT, self.lanes):
            shift = ir.Constant(WORD, part)
            of_queries = [
                self._load(self.queries, one, builder.add(step, shift)) for one in queries
            ]
            of_keys = [self._load(self.source, one, builder.add(place, shift)) for one in starts]
            for i in range(sums):
                term = builder.fmul(of_keys[i // rows], of_queries[i % rows], flags=FLAGS)
                updated[i] = builder.fadd(updated[i], term, flags=FLAGS)
        following = builder.add(step, size)
        builder.cbranch(builder.icmp_signed("<", following, features), body, after)
        step.add_incoming(zero, before)
        step.add_incoming(following, body)
        for total, end in zip(totals, updated, strict=True):
            total.add_incoming(ir.Constant(kind, [0.0] * self.lanes), before)
            total.add_incoming(end, body)
        builder.position_at_end(after)
        self._store(updated, first)

    def _store(self, updated: list[Any], first: int) -> None:
        builder = self.builder
        for i in range(0, len(updated), self.lanes):
            reduced = reduce_together(builder, updated[i : i + self.lanes])
            target = builder.gep(
                self.result.data,
                [builder.add(self.result.begin, ir.Constant(WORD, first + i))],
                inbounds=True,
            )
            builder.store(reduced, builder.bitcast(target, reduced.type.as_pointer()), align=4)

    def _load(self, matrix: Matrix, row: Any, at: Any) -> Any:
        pointer = self.builder.gep(row, [at], inbounds=True)
        return load_numbers(self.builder, matrix.dtype, pointer, self.lanes)


def _limited(builder: Any, number: int, count: Any) -> Any:
    """A number, or the last of `count` if there are fewer."""
    one, last = ir.Constant(WORD, number), builder.sub(count, ir.Constant(WORD, 1))
    return builder.select(builder.icmp_signed("<", one, last), one, last)


def reduce_together(builder: Any, vectors: list[Any]) -> Any:
    """The sums of as many vectors as each has lanes, as one vector.

    Each step adds halves of two vectors and puts the results side by side: the number of vectors halves, and each holds
    twice as many partial sums of half as many lanes.
    """
    lanes = len(vectors)
    width = lanes  # of the lanes that belong to one sum
    index = ir.VectorType(ir.IntType(32), lanes)
    while len(vectors) > 1:
        half, apart = width // 2, len(vectors) // 2
        # Lane by lane of the result: first vector's groups and then second's, alternately.
        low, high = [], []
        for group in range(0, lanes, width):
            for owner in (0, lanes):
                low += [owner + group + i for i in range(half)]
                high += [owner + group + half + i for i in range(half)]
        merged = []
        for i in range(apart):
            pair = vectors[i], vectors[i + apart]
            left = builder.shuffle_vector(*pair, ir.Constant(index, low))
            right = builder.shuffle_vector(*pair, ir.Constant(index, high))
            merged.append(builder.fadd(left, right, flags=FLAGS))
        vectors, width = merged, half
    return vectors[0]


PROVIDED = {f"dots_{rows}": _dots(rows) for rows in (1, 4, 8)}
