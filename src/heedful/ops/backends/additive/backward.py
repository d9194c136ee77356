# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Gradients of additive attention under softmax in one pass on a CPU.

A block of queries iterates over tiles of keys. The scores of a tile are recomputed, and the weights follow from them
and the saved logsumexp of each row. So nothing of size queries × keys is stored.
"""

from __future__ import annotations

from heedful.ops.backends.additive.forward import add_bias, key_range, mask_scores, row_range
from heedful.ops.backends.additive.linear import add_row, clear, inner, multiply, transpose_rows
from heedful.ops.backends.additive.pair import (
    BLOCK,
    FEW_ROWS,
    KEYS,
    SUMS,
    add_key_sums,
    exp_keys,
    exp_rows,
    gradient_numbers,
    gradient_space,
    padded_size,
    tile_function,
    tile_gradients,
    tile_scores,
    write_row_sums,
)
from heedful.ops.jit.kernel import exp_below_one, kernel, load, offset_view, splat, store
from heedful.ops.jit.source import LANES


def backward_numbers(rows: int, hidden: int, width: int) -> int:
    """Size of the scratch of one thread, in elements."""
    padded, wide = (-(-size // LANES) * LANES for size in (hidden, width))
    return gradient_numbers(rows, padded) + rows * (2 * KEYS + 1) + KEYS * wide


@tile_function
def recompute_weights(scores, begin, end, count, logsums, to):
    """Replace the scores of a tile by their weights e^{score − logsumexp}."""
    for q in range(begin, end):
        shift = splat(logsums[to + q])
        for k in range(q * KEYS, q * KEYS + count, LANES):
            store(scores, k, exp_below_one(load(scores, k) - shift))


@tile_function
def score_gradients(weights, of_weights, deltas, begin, end, count):
    """Replace weights w by the gradients of their scores, w · (gradient of w − delta of the row)."""
    for q in range(begin, end):
        delta = splat(deltas[q])
        for k in range(q * KEYS, q * KEYS + count, LANES):
            store(weights, k, load(weights, k) * (load(of_weights, k) - delta))


@tile_function
def weight_gradients(
    upstream, u_at, value, v_at, stride, rows, count, width, transposed, of_weights, at
):
    """Gradients of the weights of a tile, (rows, KEYS): inner products of output gradients and values."""
    if rows < FEW_ROWS:
        for q in range(rows):
            for k in range(count):
                of_weights[at + q * KEYS + k] = inner(
                    upstream, u_at + q * width, value, v_at + k * stride, width
                )
    else:
        transpose_rows(value, v_at, stride, count, width, transposed)
        columns = (count + 2 * LANES - 1) // (2 * LANES) * 2 * LANES
        multiply(
            upstream,
            u_at,
            width,
            1,
            transposed,
            0,
            KEYS,
            of_weights,
            at,
            KEYS,
            rows,
            width,
            columns,
            True,
        )


@tile_function
def attend_tile(
    given, kept, at, strides, row, rows, key, count, window, slope, sizes, added, a_at, spaces, results, to
):  # fmt: skip
    """Add the gradients of the keys and values of a tile, and its terms of those of a block of rows and the vector."""
    space, tiles, sums, scores, of_weights, deltas, transposed = spaces
    hidden, width, added_stride = sizes
    upstream, logsums, value = kept
    begin, end = row_range(row, rows, key, count, window)
    if begin == end:
        return
    small = exp_keys(given[1], at[1], strides[1], count, hidden, slope, tiles[0])
    tile_scores(
        given, at, strides, rows, begin, end, count, hidden, slope, small, space, tiles,
        scores, 0, KEYS,
    )  # fmt: skip
    if len(added) > 0:
        add_bias(scores, begin, end, count, 0, KEYS, added, a_at, added_stride)
    if key < row + rows - 1 - window[0] or key + count > row + window[1] + 1:
        mask_scores(scores, row, rows, begin, end, key, count, window, 0, KEYS)
    recompute_weights(scores, begin, end, count, logsums, to[0])
    u_at = (to[0] + begin) * width
    multiply(
        scores, begin * KEYS, 1, KEYS, upstream, u_at, width,
        results[1], to[2], width, count, end - begin, width, False,
    )  # fmt: skip
    weight_gradients(
        upstream, u_at, value, at[3], strides[2], end - begin, count, width,
        transposed, of_weights, begin * KEYS,
    )  # fmt: skip
    score_gradients(scores, of_weights, deltas, begin, end, count)
    clear(sums[3], 0, padded_size(hidden) // LANES * BLOCK)
    tile_gradients(
        given, at, strides, begin, end, count, hidden, slope, small, space[4], sums, scores
    )
    add_key_sums(sums[3], given[2], at[2], count, hidden, results[0], to[1])


@tile_function
def attend_block(
    given, kept, output, at, strides, row, rows, keys, window, slope, sizes, added, a_at, spaces, results, to
):  # fmt: skip
    """Write the gradients of a block of rows, and add its share of all others; `to` is where rows and keys begin."""
    hidden, width, _ = sizes
    query, _, vector = given
    space, _, sums, _, _, deltas, _ = spaces
    exp_rows(query, at[0], strides[0], rows, hidden, vector, at[2], slope, space)
    clear(sums[1], 0, rows * padded_size(hidden))
    for q in range(rows):
        begin = (to[0] + q) * width
        deltas[q] = inner(kept[0], begin, output, begin, width)
    first, last = key_range(row, rows, keys, window)
    for key in range(first, last, KEYS):
        place = at[0], at[1] + key * strides[1], at[2], at[3] + key * strides[2]
        into = to[0], to[1] + key * hidden, to[2] + key * width
        attend_tile(
            given, kept, place, strides, row, rows, key, min(KEYS, last - key), window, slope, sizes,
            added, a_at + key, spaces, results, into,
        )  # fmt: skip
    write_row_sums(sums[1], rows, vector, at[2], hidden, results[2], to[0] * hidden)


@tile_function
def backward_space(scratch, rows, padded, width):
    """Slices of scratch: a `gradient_space`, two tiles of pairs, one element per row, and transposed values."""
    space, tiles, sums, end = gradient_space(scratch, rows, padded)
    size = rows * KEYS
    return (
        space,
        tiles,
        sums,
        offset_view(scratch, end),
        offset_view(scratch, end + size),
        offset_view(scratch, end + 2 * size),
        offset_view(scratch, end + 2 * size + rows),
    )


@kernel(fastmath=SUMS, no_refcount=True)
def additive_backward(
    part, parts, slope, query, key, value, vector, places, lengths, queries, keys, hidden,
    query_stride, key_stride, value_stride, before, after, added, added_places, added_stride,
    row_first, row_stop, rows, by_unit, upstream, output, logsums,
    query_sum, key_sum, value_sum, vector_sum, scratch,
):  # fmt: skip
    """Write rows `row_first` to `row_stop` of query_sum (units, queries, hidden), and add to copies of key_sum
    (units, keys, hidden), value_sum (units, keys, width) and vector_sum (vectors, hidden).

    The other arguments are those of `additive_forward`. With `by_unit` a thread (`part`) computes whole units, and
    key_sum and value_sum have one copy. Otherwise it computes its blocks of every unit, and each thread has its own
    copy of them. vector_sum always has a copy per thread.
    """
    units, width = len(places), len(output) // len(logsums)
    spaces = backward_space(scratch[part], rows, (hidden + LANES - 1) // LANES * LANES, width)
    strides, sizes = (query_stride, key_stride, value_stride), (hidden, width, added_stride)
    copy = 0 if by_unit else part
    results, own = (key_sum[copy], value_sum[copy], query_sum), vector_sum[part]
    blocks = (row_stop - row_first + rows - 1) // rows
    for unit in range(part if by_unit else 0, units, parts if by_unit else 1):
        clear(spaces[2][4], 0, hidden)
        for turn in range(blocks if by_unit else (blocks + parts - 1) // parts):
            block = (
                turn if by_unit else turn * parts + (part if turn % 2 == 0 else parts - 1 - part)
            )
            if block < blocks:
                offset = block * rows
                row = row_first + offset
                at = (
                    places[unit, 0] + row * query_stride, places[unit, 1],
                    places[unit, 2], places[unit, 3],
                )  # fmt: skip
                attend_block(
                    (query, key, vector), (upstream, logsums, value), output, at, strides,
                    row, min(rows, row_stop - row), max(0, min(lengths[unit], keys)),
                    (before, after), slope, sizes, added,
                    added_places[unit] + offset * added_stride if len(added) > 0 else 0, spaces,
                    results, (unit * queries + row, unit * keys * hidden, unit * keys * width),
                )  # fmt: skip
        add_row(spaces[2][4], hidden, own, places[unit, 2])
