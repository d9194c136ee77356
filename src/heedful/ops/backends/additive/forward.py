# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Additive attention under softmax in one pass on a CPU: scores, weights and the mix of values, a block at a time.

A block of queries meets its keys `CHUNK` at a time. Between chunks it keeps for each row the highest score, the sum of
what was raised, and the values mixed so far, which are rescaled when a higher score turns up (Milakov and Gimelshein
2018, https://arxiv.org/abs/1805.02867).
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.backends.additive.pair import (
    BLOCK,
    FEW_ROWS,
    KEYS,
    LANES,
    ONE,
    SUMS,
    ZERO,
    direct_score,
    few_scores,
    padded_size,
    raise_keys,
    raise_rows,
    turn_tile,
    turned_scores,
)
from heedful.ops.jit.exponential import LOWEST, exponential_of
from heedful.ops.jit.kernel import (
    highest_of,
    inlined,
    kernel,
    load,
    product_row,
    product_tile,
    spread,
    store,
    stretch,
    sum_of,
    where_positive,
)

CHUNK = 512
ROWS, NUMBERS = 128, 32768
"""A block has at most so many rows, and their features so many numbers, for one of each to stay in the outer cache."""
MINUS_INFINITY = np.float32(-np.inf)


def block_rows(queries: int, hidden: int) -> int:
    """How many queries a block has."""
    return max(1, min(queries, ROWS, max(32, NUMBERS // hidden)))


def forward_numbers(rows: int, keys: int, hidden: int) -> int:
    """How many numbers of scratch a part needs."""
    padded = -(-hidden // LANES) * LANES
    chunk = min(CHUNK, -(-keys // KEYS) * KEYS)
    return rows * (2 * padded + chunk + 3) + 2 * padded + (BLOCK // LANES + KEYS) * padded


@inlined(fastmath=SUMS, borrows=True)
def features_space(scratch, rows, padded):
    """Where rows raised, rows scaled, the vector doubled, its pairs' sums and the rows' marks lie; and their end."""
    size = rows * padded
    end = 2 * size + 2 * padded + rows
    space = (
        stretch(scratch, 0),
        stretch(scratch, size),
        stretch(scratch, 2 * size),
        stretch(scratch, 2 * size + padded),
        stretch(scratch, 2 * size + 2 * padded),
    )
    return space, end


@inlined(fastmath=SUMS, borrows=True)
def tile_scores(given, at, strides, rows, count, hidden, space, tiles, scores, column, stride):
    """Scores of some rows and at most a tile of keys, whose features begin where `at` tells; whether keys are small."""
    query, key, vector = given
    tile, turned = tiles
    padded, marks = padded_size(hidden), space[4]
    small = raise_keys(key, at[1], strides[1], count, hidden, tile)
    if small and rows >= FEW_ROWS:
        turn_tile(tile, count, padded, turned)
        turned_scores(rows, count, padded, space, turned, scores, column, stride)
    elif small:
        few_scores(rows, count, padded, space, tile, scores, column, stride)
    for q in range(rows):
        if not (small and marks[q] > ZERO):
            begin = at[0] + q * strides[0]
            for k in range(count):
                scores[q * stride + column + k] = direct_score(
                    query, begin, key, at[1] + k * strides[1], vector, at[2], hidden
                )
    return small


@inlined(fastmath=SUMS, borrows=True)
def raise_weights(scores, at, count, top):
    """Turn scores into e^{score − top}, exactly 0 far below; the sum. What fills up the lanes becomes 0."""
    for k in range(count, padded_size(count)):
        scores[at + k] = MINUS_INFINITY
    many, highest, lowest = spread(ZERO), spread(top), spread(LOWEST)
    for k in range(at, at + count, LANES):
        x = load(scores, k) - highest
        # the other way round NaN would become 0
        weight = where_positive(lowest - x, spread(ZERO), exponential_of(x))
        store(scores, k, weight)
        many += weight
    return sum_of(many)


@inlined(fastmath=SUMS, borrows=True)
def highest_score(scores, at, count):
    """The highest of some scores; NaN only where all are."""
    best = spread(MINUS_INFINITY)
    whole = count // LANES * LANES
    for k in range(at, at + whole, LANES):
        x = load(scores, k)
        best = where_positive(x - best, x, best)
    top = highest_of(best)
    for k in range(at + whole, at + count):
        top = scores[k] if scores[k] > top else top
    return top


@inlined(fastmath=SUMS, borrows=True)
def scale(array, at, count, factor):
    """Multiply some numbers in place."""
    whole = count // LANES * LANES
    for c in range(at, at + whole, LANES):
        store(array, c, load(array, c) * factor)
    for c in range(at + whole, at + count):
        array[c] *= factor


@inlined(fastmath=SUMS, borrows=True)
def clear(array, at, count):
    """Write zeros."""
    for c in range(at, at + count):
        array[c] = ZERO


@inlined(fastmath=SUMS, borrows=True)
def weigh(scores, stride, rows, count, tops, totals, output, o_at, width, fresh):
    """Softmax of a chunk's scores so far: turn them into weights, and rescale what was mixed before."""
    for q in range(rows):
        top = highest_score(scores, q * stride, count)
        if not fresh:
            top = tops[q] if tops[q] > top else top
            factor = np.float32(math.exp(tops[q] - top))
            totals[q] *= factor
            scale(output, o_at + q * width, width, factor)
        total = raise_weights(scores, q * stride, count, top)
        totals[q] = total if fresh else totals[q] + total
        tops[q] = top


@inlined(fastmath=SUMS, borrows=True)
def multiply(
    left, l_at, l_row, l_step, right, r_at, r_row, result, at, row, rows, depth, width, fresh
):
    """Write, or add, left · right: (rows, depth) · (depth, width)."""
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
            total = ZERO if fresh else result[at + q * row + c]
            for d in range(depth):
                total += left[l_at + q * l_row + d * l_step] * right[r_at + d * r_row + c]
            result[at + q * row + c] = total


@inlined(fastmath=SUMS, borrows=True)
def attend_rows(given, value, at, strides, rows, keys, sizes, output, logsums, to, scratch):
    """Outputs of a block of rows, at to[0], and the logarithms of their sums, at to[1]."""
    query, _, vector = given
    hidden, width, stride, most_rows = sizes
    padded = padded_size(hidden)
    space, end = features_space(scratch, most_rows, padded)
    tops, totals = stretch(scratch, end), stretch(scratch, end + most_rows)
    end += 2 * most_rows
    tiles = stretch(scratch, end), stretch(scratch, end + BLOCK // LANES * padded)
    weights = stretch(scratch, end + (BLOCK // LANES + KEYS) * padded)
    raise_rows(query, at[0], strides[0], rows, hidden, vector, at[2], space)
    for first in range(0, keys, CHUNK):
        count = min(CHUNK, keys - first)
        for column in range(0, count, KEYS):
            place = at[0], at[1] + (first + column) * strides[1], at[2]
            own = min(KEYS, count - column)
            tile_scores(
                given, place, strides, rows, own, hidden, space, tiles, weights, column, stride
            )
        weigh(weights, stride, rows, count, tops, totals, output, to[0], width, first == 0)
        multiply(
            weights, 0, stride, 1, value, at[3] + first * strides[2], strides[2],
            output, to[0], width, rows, count, width, first == 0,
        )  # fmt: skip
    for q in range(rows):
        if keys > 0:
            scale(output, to[0] + q * width, width, ONE / totals[q])
            logsums[to[1] + q] = tops[q] + np.float32(math.log(totals[q]))
        else:
            clear(output, to[0] + q * width, width)
            logsums[to[1] + q] = ZERO


@kernel(fastmath=SUMS, borrows=True)
def additive_attend(
    part, parts, query, key, value, vector, places, lengths, queries, keys, hidden,
    query_stride, key_stride, value_stride, rows, output, logsums, scratch,
):  # fmt: skip
    """Fill output (units, queries, width) and logsums (units, queries), both flat.

    `places` (units, 4) tells where a unit's queries, keys, row of the vector and values begin; `lengths` (units,) how
    many of its keys it sees, all where it is None. Each part takes an equal share of all rows, in their order.
    """
    units, width = len(places), len(output) // len(logsums)
    stride = min(CHUNK, (keys + KEYS - 1) // KEYS * KEYS)
    sizes = hidden, width, stride, rows
    strides = query_stride, key_stride, value_stride
    first, last = units * queries * part // parts, units * queries * (part + 1) // parts
    for unit in range(first // queries, (last + queries - 1) // queries):
        start, stop = max(first - unit * queries, 0), min(last - unit * queries, queries)
        seen = keys if lengths is None else max(0, min(lengths[unit], keys))
        for row in range(start, stop, rows):
            at = (
                places[unit, 0] + row * query_stride, places[unit, 1],
                places[unit, 2], places[unit, 3],
            )  # fmt: skip
            line = unit * queries + row
            attend_rows(
                (query, key, vector), value, at, strides, min(rows, stop - row), seen, sizes,
                output, logsums, (line * width, line), scratch[part],
            )  # fmt: skip
