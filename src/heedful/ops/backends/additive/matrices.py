# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Matrices of additive scores on a CPU, and the gradients of query, key and vector from the scores' gradient."""

from __future__ import annotations

from heedful.ops.backends.additive.linear import add_row, clear
from heedful.ops.backends.additive.pair import (
    BLOCK,
    KEYS,
    SUMS,
    add_key_sums,
    exp_keys,
    exp_rows,
    features_numbers,
    features_space,
    gradient_numbers,
    gradient_space,
    padded_size,
    tile_function,
    tile_gradients,
    tile_scores,
    write_row_sums,
)
from heedful.ops.jit.kernel import kernel, offset_view
from heedful.ops.jit.source import LANES


def scores_numbers(rows: int, hidden: int) -> int:
    """Size of the scratch of one thread of `scores_kernel`, in elements."""
    padded = -(-hidden // LANES) * LANES
    return features_numbers(rows, padded) + (BLOCK // LANES + KEYS) * padded + rows * KEYS


def gradients_numbers(rows: int, hidden: int) -> int:
    """Size of the scratch of one thread of `gradients_kernel`, in elements."""
    return gradient_numbers(rows, -(-hidden // LANES) * LANES) + rows * KEYS


@tile_function
def block_scores(given, at, strides, rows, keys, hidden, slope, most_rows, scores, to, scratch):
    """Scores of a block of queries of one unit and all its keys, (rows, keys) at offset `to`."""
    padded = padded_size(hidden)
    space, end = features_space(scratch, most_rows, padded)
    tiles = offset_view(scratch, end), offset_view(scratch, end + BLOCK // LANES * padded)
    found = offset_view(scratch, end + (BLOCK // LANES + KEYS) * padded)
    exp_rows(given[0], at[0], strides[0], rows, hidden, given[2], at[2], slope, space)
    for key in range(0, keys, KEYS):
        count = min(KEYS, keys - key)
        place = at[0], at[1] + key * strides[1], at[2]
        small = exp_keys(given[1], place[1], strides[1], count, hidden, slope, tiles[0])
        tile_scores(
            given, place, strides, rows, 0, rows, count, hidden, slope, small, space, tiles,
            found, 0, KEYS,
        )  # fmt: skip
        for q in range(rows):
            ours, theirs = offset_view(found, q * KEYS), offset_view(scores, to + q * keys + key)
            for k in range(count):
                theirs[k] = ours[k]


@kernel(fastmath=SUMS, no_refcount=True)
def scores_kernel(
    part, parts, slope, query, key, vector, places, queries, keys, hidden,
    query_stride, key_stride, rows, scores, scratch,
):  # fmt: skip
    """Fill scores (units, queries, keys), flat, from flat queries, keys and vectors.

    `places` (units, 4) are the offsets of a unit's queries, keys and row of the vector. Each thread (`part`) computes
    an equal, consecutive share of all rows.
    """
    units = len(places)
    first, last = units * queries * part // parts, units * queries * (part + 1) // parts
    for unit in range(first // queries, (last + queries - 1) // queries):
        start, stop = max(first - unit * queries, 0), min(last - unit * queries, queries)
        for row in range(start, stop, rows):
            at = places[unit, 0] + row * query_stride, places[unit, 1], places[unit, 2]
            block_scores(
                (query, key, vector), at, (query_stride, key_stride), min(rows, stop - row), keys,
                hidden, slope, rows, scores, (unit * queries + row) * keys, scratch[part],
            )  # fmt: skip


@tile_function
def block_gradients(
    given, at, strides, rows, keys, hidden, slope, spaces, upstream, u_at, results, to
):  # fmt: skip
    """Write the gradients of a block of queries, and add its terms of those of keys and vector."""
    space, tiles, sums, g = spaces
    exp_rows(given[0], at[0], strides[0], rows, hidden, given[2], at[2], slope, space)
    clear(sums[1], 0, rows * padded_size(hidden))
    for key in range(0, keys, KEYS):
        count = min(KEYS, keys - key)
        place = at[0], at[1] + key * strides[1], at[2]
        small = exp_keys(given[1], place[1], strides[1], count, hidden, slope, tiles[0])
        for q in range(rows):
            ours, theirs = offset_view(upstream, u_at + q * keys + key), offset_view(g, q * KEYS)
            for k in range(count):
                theirs[k] = ours[k]
        clear(sums[3], 0, padded_size(hidden) // LANES * BLOCK)
        tile_gradients(
            given, place, strides, 0, rows, count, hidden, slope, small, space[4], sums, g
        )
        add_key_sums(sums[3], given[2], at[2], count, hidden, results[1], to[1] + key * hidden)
    write_row_sums(sums[1], rows, given[2], at[2], hidden, results[0], to[0])


@kernel(fastmath=SUMS, no_refcount=True)
def gradients_kernel(
    part, parts, slope, query, key, vector, places, queries, keys, hidden,
    query_stride, key_stride, rows, by_unit, upstream, query_sum, key_sum, vector_sum, scratch,
):  # fmt: skip
    """Write query_sum (units, queries, hidden), add to copies of key_sum (units, keys, hidden) and vector_sum.

    `upstream` is (units, queries, keys), flat. With `by_unit` a thread (`part`) computes whole units, and key_sum has
    one copy. Otherwise it computes its rows of every unit, and each thread has its own copy. vector_sum always has a
    copy per thread.
    """
    units = len(places)
    padded = (hidden + LANES - 1) // LANES * LANES
    space, tiles, sums, end = gradient_space(scratch[part], rows, padded)
    spaces = space, tiles, sums, offset_view(scratch[part], end)
    first, last = (units * part // parts, units * (part + 1) // parts) if by_unit else (0, units)
    begin, stop = (
        (0, queries) if by_unit else (queries * part // parts, queries * (part + 1) // parts)
    )
    results = query_sum, key_sum[0 if by_unit else part]
    for unit in range(first, last):
        clear(sums[4], 0, hidden)
        for row in range(begin, stop, rows):
            line = unit * queries + row
            at = places[unit, 0] + row * query_stride, places[unit, 1], places[unit, 2]
            block_gradients(
                (query, key, vector), at, (query_stride, key_stride), min(rows, stop - row), keys,
                hidden, slope, spaces, upstream, line * keys,
                results, (line * hidden, unit * keys * hidden),
            )  # fmt: skip
        add_row(sums[4], hidden, vector_sum[part], places[unit, 2])
