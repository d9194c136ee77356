# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Small matrix products and row operations for the additive kernels."""

from __future__ import annotations

from heedful.ops.backends.additive.pair import FEW_ROWS, KEYS, ZERO, tile_function
from heedful.ops.jit.kernel import (
    load,
    product_row,
    product_tile,
    reduce_sum,
    splat,
    store,
    transpose_block,
)
from heedful.ops.jit.source import LANES


@tile_function
def clear(array, at, count):
    """Write zeros."""
    for c in range(at, at + count):
        array[c] = ZERO


@tile_function
def scale(array, at, count, factor):
    """Multiply `count` elements by `factor`, in place."""
    whole = count // LANES * LANES
    for c in range(at, at + whole, LANES):
        store(array, c, load(array, c) * factor)
    for c in range(at + whole, at + count):
        array[c] *= factor


@tile_function
def add_row(source, count, target, place):
    """Add `count` elements of `source` to `target`, from offset `place` on."""
    whole = count // LANES * LANES
    for h in range(0, whole, LANES):
        store(target, place + h, load(target, place + h) + load(source, h))
    for h in range(whole, count):
        target[place + h] += source[h]


@tile_function
def inner(left, l_at, right, r_at, count):
    """The inner product of two rows."""
    many = splat(left.dtype.type(0))
    whole = count // LANES * LANES
    for c in range(0, whole, LANES):
        many += load(left, l_at + c) * load(right, r_at + c)
    total = reduce_sum(many)
    for c in range(whole, count):
        total += left[l_at + c] * right[r_at + c]
    return total


@tile_function
def multiply(
    left, l_at, l_row, l_step, right, r_at, r_row, result, at, row, rows, depth, width, fresh
):
    """Write left · right to `result`, or add it unless `fresh`: (rows, depth) · (depth, width).

    Each matrix is given by an array, the offset of its first element and its row stride. The left matrix also has a
    column stride, `l_step`.
    """
    column = 0
    if rows < FEW_ROWS:
        while column + 4 * LANES <= width:
            for q in range(rows):
                product_row(
                    (left, l_at + q * l_row, l_row, l_step), (right, r_at + column, r_row),
                    (result, at + q * row + column, row), depth, 1, fresh,
                )  # fmt: skip
            column += 4 * LANES
    while column + 2 * LANES <= width:
        for q in range(0, rows, 8):
            product_tile(
                (left, l_at + q * l_row, l_row, l_step), (right, r_at + column, r_row),
                (result, at + q * row + column, row), depth, min(8, rows - q), fresh,
            )  # fmt: skip
        column += 2 * LANES
    for q in range(rows):
        for c in range(column, width):
            total = result.dtype.type(0) if fresh else result[at + q * row + c]
            for d in range(depth):
                total += left[l_at + q * l_row + d * l_step] * right[r_at + d * r_row + c]
            result[at + q * row + c] = total


@tile_function
def transpose_rows(source, at, stride, count, width, transposed):
    """Transpose at most `KEYS` rows, (count, width) -> (width, KEYS), zero-padded."""
    blocks, whole = count // LANES * LANES, width // LANES * LANES
    for k in range(0, blocks, LANES):
        for c in range(0, whole, LANES):
            transpose_block(source, at + k * stride + c, stride, transposed, c * KEYS + k, KEYS)
    for c in range(width):
        first = blocks if c < whole else 0
        for k in range(first, KEYS):
            transposed[c * KEYS + k] = source[at + k * stride + c] if k < count else ZERO
