# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Gradients of additive attention under softmax in one pass on a processor.

A block of queries meets its keys a tile at a time. With the logarithm of each row's sum its weights are known as soon
as its scores are, so a tile's scores are computed again, and nothing that grows as queries × keys is kept.
"""

from __future__ import annotations

from heedful.ops.backends.additive.forward import add_bias, hide, key_range, row_range
from heedful.ops.backends.additive.linear import add_row, clear, inner, multiply, turn_rows
from heedful.ops.backends.additive.pair import (
    BLOCK,
    FEW_ROWS,
    KEYS,
    LANES,
    SUMS,
    add_key_sums,
    gradient_numbers,
    gradient_space,
    padded_size,
    raise_keys,
    raise_rows,
    tile_function,
    tile_gradients,
    tile_scores,
    write_row_sums,
)
from heedful.ops.jit.kernel import exp_or_zero, kernel, load, offset_view, splat, store


def backward_numbers(rows: int, hidden: int, width: int) -> int:
    """The numbers of scratch that a part needs."""
    padded, wide = (-(-size // LANES) * LANES for size in (hidden, width))
    return gradient_numbers(rows, padded) + rows * (2 * KEYS + 1) + KEYS * wide


@tile_function
def weights_again(scores, begin, end, count, logsums, to):
    """Turn a tile's scores into weights."""
    for q in range(begin, end):
        shift = splat(logsums[to + q])
        for k in range(q * KEYS, q * KEYS + count, LANES):
            store(scores, k, exp_or_zero(load(scores, k) - shift))


@tile_function
def score_gradients(weights, reached, deltas, begin, end, count):
    """Turn weights into the gradients of their scores."""
    for q in range(begin, end):
        delta = splat(deltas[q])
        for k in range(q * KEYS, q * KEYS + count, LANES):
            store(weights, k, load(weights, k) * (load(reached, k) - delta))


@tile_function
def reach(upstream, u_at, value, v_at, stride, rows, count, width, turned, reached, at):
    """Inner products of the outputs' gradients and a tile's values: (rows, KEYS)."""
    if rows < FEW_ROWS:
        for q in range(rows):
            for k in range(count):
                reached[at + q * KEYS + k] = inner(
                    upstream, u_at + q * width, value, v_at + k * stride, width
                )
    else:
        turn_rows(value, v_at, stride, count, width, turned)
        columns = (count + 2 * LANES - 1) // (2 * LANES) * 2 * LANES
        multiply(
            upstream, u_at, width, 1, turned, 0, KEYS, reached, at, KEYS, rows, width, columns, True
        )


@tile_function
def attend_tile(
    given, kept, at, strides, row, rows, key, count, seen, slope, sizes, added, a_at, spaces, results, to
):  # fmt: skip
    """Add the gradients of a tile's keys and values, and its share of those of a block of rows and of the vector."""
    space, tiles, sums, scores, reached, deltas, turned = spaces
    hidden, width, added_stride = sizes
    upstream, logsums, value = kept
    begin, end = row_range(row, rows, key, count, seen)
    if begin == end:
        return
    small = raise_keys(given[1], at[1], strides[1], count, hidden, slope, tiles[0])
    tile_scores(
        given, at, strides, rows, begin, end, count, hidden, slope, small, space, tiles,
        scores, 0, KEYS,
    )  # fmt: skip
    if len(added) > 0:
        add_bias(scores, begin, end, count, 0, KEYS, added, a_at, added_stride)
    if key < row + rows - 1 - seen[0] or key + count > row + seen[1] + 1:
        hide(scores, row, rows, begin, end, key, count, seen, 0, KEYS)
    weights_again(scores, begin, end, count, logsums, to[0])
    u_at = (to[0] + begin) * width
    multiply(
        scores, begin * KEYS, 1, KEYS, upstream, u_at, width,
        results[1], to[2], width, count, end - begin, width, False,
    )  # fmt: skip
    reach(
        upstream, u_at, value, at[3], strides[2], end - begin, count, width,
        turned, reached, begin * KEYS,
    )  # fmt: skip
    score_gradients(scores, reached, deltas, begin, end, count)
    clear(sums[3], 0, padded_size(hidden) // LANES * BLOCK)
    tile_gradients(
        given, at, strides, begin, end, count, hidden, slope, small, space[4], sums, scores
    )
    add_key_sums(sums[3], given[2], at[2], count, hidden, results[0], to[1])


@tile_function
def attend_block(
    given, kept, output, at, strides, row, rows, keys, seen, slope, sizes, added, a_at, spaces, results, to
):  # fmt: skip
    """Write the gradients of a block of rows, and add its share of all others; `to` is where rows and keys begin."""
    hidden, width, _ = sizes
    query, _, vector = given
    space, _, sums, _, _, deltas, _ = spaces
    raise_rows(query, at[0], strides[0], rows, hidden, vector, at[2], slope, space)
    clear(sums[1], 0, rows * padded_size(hidden))
    for q in range(rows):
        begin = (to[0] + q) * width
        deltas[q] = inner(kept[0], begin, output, begin, width)
    first, last = key_range(row, rows, keys, seen)
    for key in range(first, last, KEYS):
        place = at[0], at[1] + key * strides[1], at[2], at[3] + key * strides[2]
        into = to[0], to[1] + key * hidden, to[2] + key * width
        attend_tile(
            given, kept, place, strides, row, rows, key, min(KEYS, last - key), seen, slope, sizes,
            added, a_at + key, spaces, results, into,
        )  # fmt: skip
    write_row_sums(sums[1], rows, vector, at[2], hidden, results[2], to[0] * hidden)


@tile_function
def backward_space(scratch, rows, padded, width):
    """Slices of scratch: a `gradient_space`, two tiles of numbers a pair, one a row, and turned values."""
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

    The other arguments are those of `additive_forward`. `by_unit`: a part does whole units, and keys and values have
    one copy. Otherwise it does its blocks of every unit, in a copy of its own. The vector has a copy for each part.
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
