# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Gradients of additive attention under softmax in one pass on a CPU.

A block of queries meets its keys a tile at a time. With the logarithm of each row's sum its weights are known as soon
as its scores are, so a tile's scores are computed again, and nothing that grows as queries × keys is kept.
"""

from __future__ import annotations

from heedful.ops.backends.additive.forward import (
    MINUS_INFINITY,
    clear,
    features_space,
    multiply,
    tile_scores,
)
from heedful.ops.backends.additive.pair import (
    BLOCK,
    FEW_ROWS,
    KEYS,
    LANES,
    SUMS,
    ZERO,
    padded_size,
    raise_rows,
)
from heedful.ops.backends.additive.pair_gradients import add_tile, pair_gradients
from heedful.ops.jit.exponential import LOWEST, exponential_of
from heedful.ops.jit.kernel import (
    inlined,
    kernel,
    load,
    spread,
    store,
    stretch,
    sum_of,
    turn,
    where_positive,
)


def backward_numbers(rows: int, hidden: int, width: int) -> int:
    """How many numbers of scratch a part needs."""
    padded, wide = (-(-size // LANES) * LANES for size in (hidden, width))
    tile = BLOCK // LANES * padded
    return rows * (3 * padded + 2 * KEYS + 2) + 3 * padded + 2 * tile + KEYS * (padded + wide)


@inlined(fastmath=SUMS, borrows=True)
def weigh_row(source, at, vector, v_at, count, target, place):
    """Write some numbers, each times that of the vector."""
    whole = count // LANES * LANES
    for h in range(0, whole, LANES):
        store(target, place + h, load(source, at + h) * load(vector, v_at + h))
    for h in range(whole, count):
        target[place + h] = source[at + h] * vector[v_at + h]


@inlined(fastmath=SUMS, borrows=True)
def add_row(source, count, target, place):
    """Add some numbers."""
    whole = count // LANES * LANES
    for h in range(0, whole, LANES):
        store(target, place + h, load(target, place + h) + load(source, h))
    for h in range(whole, count):
        target[place + h] += source[h]


@inlined(fastmath=SUMS, borrows=True)
def inner(left, l_at, right, r_at, count):
    """The inner product of two rows."""
    many = spread(ZERO)
    whole = count // LANES * LANES
    for c in range(0, whole, LANES):
        many += load(left, l_at + c) * load(right, r_at + c)
    total = sum_of(many)
    for c in range(whole, count):
        total += left[l_at + c] * right[r_at + c]
    return total


@inlined(fastmath=SUMS, borrows=True)
def turn_values(value, at, stride, count, width, turned):
    """Turn some rows of values, (count, width) -> (width, KEYS), filled up with zeros."""
    blocks, whole = count // LANES * LANES, width // LANES * LANES
    for k in range(0, blocks, LANES):
        for c in range(0, whole, LANES):
            turn(value, at + k * stride + c, stride, turned, c * KEYS + k, KEYS)
    for c in range(width):
        first = blocks if c < whole else 0
        for k in range(first, KEYS):
            turned[c * KEYS + k] = value[at + k * stride + c] if k < count else ZERO


@inlined(fastmath=SUMS, borrows=True)
def reached(upstream, u_at, value, v_at, stride, rows, count, width, turned, found):
    """Inner products of the outputs' gradients and a tile's values: (rows, KEYS)."""
    if rows < FEW_ROWS:
        for q in range(rows):
            for k in range(count):
                found[q * KEYS + k] = inner(
                    upstream, u_at + q * width, value, v_at + k * stride, width
                )
    else:
        turn_values(value, v_at, stride, count, width, turned)
        columns = (count + 2 * LANES - 1) // (2 * LANES) * 2 * LANES
        multiply(
            upstream, u_at, width, 1, turned, 0, KEYS, found, 0, KEYS, rows, width, columns, True
        )


@inlined(fastmath=SUMS, borrows=True)
def weights_again(scores, rows, count, logsums, to):
    """Turn a tile's scores into weights, filled up with zeros."""
    lowest, zero = spread(LOWEST), spread(ZERO)
    for q in range(rows):
        for k in range(count, padded_size(count)):
            scores[q * KEYS + k] = MINUS_INFINITY
        top = spread(logsums[to + q])
        for k in range(q * KEYS, q * KEYS + count, LANES):
            x = load(scores, k) - top
            store(scores, k, where_positive(lowest - x, zero, exponential_of(x)))


@inlined(fastmath=SUMS, borrows=True)
def score_gradients(weights, found, deltas, rows, count):
    """Turn weights into the gradients of their scores."""
    for q in range(rows):
        delta = spread(deltas[q])
        for k in range(q * KEYS, q * KEYS + count, LANES):
            store(weights, k, load(weights, k) * (load(found, k) - delta))


@inlined(fastmath=SUMS, borrows=True)
def gradient_space(scratch, rows, padded, width):
    """Rows, keys and the vector in scratch: features, tiles, sums, and a tile of scores."""
    space, end = features_space(scratch, rows, padded)
    size = BLOCK // LANES * padded
    tile, turned = stretch(scratch, end), stretch(scratch, end + size)
    end += size + KEYS * padded
    key_sums, row_sums = stretch(scratch, end), stretch(scratch, end + size)
    end += size + rows * padded
    scores, found = stretch(scratch, end), stretch(scratch, end + rows * KEYS)
    end += 2 * rows * KEYS
    bent, deltas, values = (
        stretch(scratch, end),
        stretch(scratch, end + padded),
        stretch(scratch, end + padded + rows),
    )
    return (
        space,
        (tile, turned),
        (space[0], row_sums, tile, key_sums, bent),
        scores,
        found,
        deltas,
        values,
    )


@inlined(fastmath=SUMS, borrows=True)
def tile_gradients(given, kept, at, strides, rows, count, sizes, spaces, results, to, fresh):
    """Gradients of a tile's keys and values, and its share of those of a block of rows and of the vector."""
    space, tiles, sums, scores, found, deltas, turned = spaces
    hidden, width = sizes
    upstream, logsums, value = kept
    small = tile_scores(given, at, strides, rows, count, hidden, space, tiles, scores, 0, KEYS)
    weights_again(scores, rows, count, logsums, to[0])
    multiply(
        scores, 0, 1, KEYS, upstream, to[0] * width, width,
        results[1], to[2], width, count, rows, width, fresh,
    )  # fmt: skip
    reached(upstream, to[0] * width, value, at[3], strides[2], rows, count, width, turned, found)
    score_gradients(scores, found, deltas, rows, count)
    clear(sums[3], 0, padded_size(hidden) // LANES * BLOCK)
    pair_gradients(given, at, strides, rows, count, hidden, small, space[4], sums, scores)
    add_tile(sums[3], given[2], at[2], count, hidden, results[0], to[1], fresh)


@inlined(fastmath=SUMS, borrows=True)
def gradient_rows(given, kept, output, at, strides, rows, keys, sizes, spaces, results, to, fresh):
    """Gradients of a block of rows, written, and its share of all others; `to` tells where row and keys begin."""
    hidden, width = sizes
    query, _, vector = given
    space, _, sums, _, _, deltas, _ = spaces
    padded = padded_size(hidden)
    raise_rows(query, at[0], strides[0], rows, hidden, vector, at[2], space)
    clear(sums[1], 0, rows * padded)
    for q in range(rows):
        begin = (to[0] + q) * width
        deltas[q] = inner(kept[0], begin, output, begin, width)
    for first in range(0, keys, KEYS):
        count = min(KEYS, keys - first)
        place = at[0], at[1] + first * strides[1], at[2], at[3] + first * strides[2]
        into = to[0], to[1] + first * hidden, to[2] + first * width
        tile_gradients(
            given, kept, place, strides, rows, count, sizes, spaces, results, into, fresh
        )
    for q in range(rows):
        into = (to[0] + q) * hidden
        weigh_row(sums[1], q * padded, vector, at[2], hidden, results[2], into)


@kernel(fastmath=SUMS, borrows=True)
def additive_attend_backward(
    part, parts, query, key, value, vector, places, lengths, queries, keys, hidden,
    query_stride, key_stride, value_stride, rows, by_unit, upstream, output, logsums,
    query_sum, key_sum, value_sum, vector_sum, scratch,
):  # fmt: skip
    """Fill the sums: query's (units, queries, hidden), and a copy each of the key's (units, keys, hidden), the value's
    (units, keys, width) and the vector's (vectors, hidden).

    `by_unit`: a part does whole units, and keys and values have one copy. Otherwise it does its rows of every unit,
    of which there must be as many as parts, and has a copy of its own. The vector's copies are one a part.
    """
    units, width = len(places), len(output) // len(logsums)
    spaces = gradient_space(scratch[part], rows, (hidden + LANES - 1) // LANES * LANES, width)
    strides = query_stride, key_stride, value_stride
    copy = 0 if by_unit else part
    results = key_sum[copy], value_sum[copy], query_sum
    first, last = (units * part // parts, units * (part + 1) // parts) if by_unit else (0, units)
    begin, end = (
        (0, queries) if by_unit else (queries * part // parts, queries * (part + 1) // parts)
    )
    own = vector_sum[part]
    clear(own, 0, len(own))
    for unit in range(first, last):
        clear(spaces[2][4], 0, hidden)
        seen = keys if lengths is None else max(0, min(lengths[unit], keys))
        clear(results[0], (unit * keys + seen) * hidden, (keys - seen) * hidden)
        clear(results[1], (unit * keys + seen) * width, (keys - seen) * width)
        for row in range(begin, end, rows):
            at = (
                places[unit, 0] + row * query_stride, places[unit, 1],
                places[unit, 2], places[unit, 3],
            )  # fmt: skip
            gradient_rows(
                (query, key, vector), (upstream, logsums, value), output, at, strides,
                min(rows, end - row), seen, (hidden, width), spaces, results,
                (unit * queries + row, unit * keys * hidden, unit * keys * width), row == begin,
            )  # fmt: skip
        add_row(spaces[2][4], hidden, own, places[unit, 2])
