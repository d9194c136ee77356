# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Banded sparsemax and entmax attention over inner products, forward and backward kernel.

A block is ROWS queries of one head. Its scores are computed as in the softmax kernels and written to a buffer as wide
as the block's window, where each row is normalized as a whole. What follows touches the keys of positive weight alone:
dropout, the weighted sum of values, and in the backward pass all gradients. Both passes compute the scores, neither
keeps them.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.backends.band.dropout import is_pair_dropped, place_of_block
from heedful.ops.backends.band.forward import (
    COLUMNS,
    SPAN,
    add_masks,
    blocks_of_part,
    cap_scores,
    keys_of_block,
    multiply_rows,
    reach_of_span,
    span_size,
    transpose_rows,
    words_of_block,
    write_scores,
)
from heedful.ops.backends.band.pair_bias import SPACE
from heedful.ops.backends.band.shape import ROWS, WIDTH
from heedful.ops.backends.band.words import hide_weights, next_span
from heedful.ops.jit.kernel import (
    inlined,
    kernel,
    load,
    offset_view,
    reduce_sum,
    splat,
    store,
)
from heedful.ops.jit.source import LANES
from heedful.ops.normalizers.sparse_kernel import (
    differentiate_row,
    gradient_of_alpha,
    support_of_row,
)


def sparse_space(features: int) -> int:
    """Scratch numbers that each part of the work needs."""
    return ROWS * (features + SPAN) + SPACE


@kernel(no_refcount=True)
def sparse_forward(
    part, parts, grain, first_block, blocks, head_table, queries, keys, features, values, tile_keys,
    query_step, key_step, value_step, bias_step, left, right, scale, base, cap,
    seed, limit, kept_scale,
    query, key, value, distance_bias, tiles, words, pair_bias, excess, output, weights, checks, scratch,
    flat_rows, rows, candidates, columns,
):  # fmt: skip
    """Attend for one part of the blocks of all heads.

    `tiles`, `words`, `pair_bias` and `weights` are empty where there are none. `excess` is α − 1 of each head. `rows`
    (parts, ROWS, at least the keys of a block) holds the scores, `flat_rows` is the same as one axis. `candidates`
    (float64) and `columns` (int32) are (parts, keys of a row). `checks` (parts, LANES) become finite only where all
    scores and results are.
    """
    sizes = queries, keys, features, values, tile_keys
    steps = query_step, key_step, value_step, bias_step
    begin, end = blocks_of_part(head_table, blocks, grain, part, parts)
    number = output.dtype.type
    mine = rows[part]
    check = splat(number(0))
    for item in range(begin, end):
        head = offset_view(head_table, COLUMNS * (item // blocks))
        tile = item % blocks
        block = (first_block + tile) * ROWS, min(ROWS, queries - (first_block + tile) * ROWS), tile
        spoilt = score_rows(
            head, block, sizes, steps, (left, right, base), number(scale), number(cap), query, key,
            (distance_bias, tiles, words, pair_bias), offset_view(scratch, part * (scratch.shape[0] // parts)),
            offset_view(flat_rows, part * (ROWS * rows.shape[2])), rows.shape[2],
        )  # fmt: skip
        start, stop = keys_of_block(block[0], head[7], (left, right))
        place = place_of_block(head[5], first_block + tile, queries, keys) + start
        for r in range(block[1]):
            row = head[5] * queries + block[0] + r
            ours = offset_view(output, row * values)
            count = -1
            if not spoilt:
                count = support_of_row(
                    mine[r, : stop - start], excess[head[5]], candidates[part], columns[part]
                )
            if count < 0:
                check = splat(number(math.nan))
                fill(ours, values, number(math.nan))
                continue
            if weights.shape[0] > 0:
                row_weights = offset_view(weights, row * keys + start)
                for c in range(count):
                    row_weights[columns[part, c]] = candidates[part, c]
            drop_support(
                candidates[part], columns[part], count, place, r, (seed, limit, kept_scale)
            )
            check = check + mix_support(
                candidates[part], columns[part], count, value, head[2] + start * value_step, value_step, values, ours
            )  # fmt: skip
    store(checks, part * LANES, check)


@inlined(no_refcount=True)
def score_rows(
    head, block, sizes, steps, band, scale, cap, query, key, masks, scratch, rows, row_step
):  # fmt: skip
    """Write the scores of a block, (query, key), minus infinity where a pair is hidden; rows lie `row_step` apart.

    Returns whether an inner product is not finite. block: first query, queries, index of its tile.
    """
    first, count_rows, tile = block
    features = sizes[2]
    transposed, scores = scratch, offset_view(scratch, ROWS * features)
    square = offset_view(scores, ROWS * SPAN)
    transpose_rows(
        query, head[0] + first * steps[0], steps[0], count_rows, features, scale, transposed
    )
    start, stop = keys_of_block(first, head[7], band)
    word_at = words_of_block(head[8], tile, first, sizes, band)
    check = splat(scores.dtype.type(0))
    begin, done, count = start, start, 1
    while begin < stop and count > 0:
        begin, count = next_span(masks[2], word_at, begin, stop, span_size(stop - start))
        hide_weights(rows, count_rows, row_step, done - start, begin - start)
        multiply_rows(
            key, head[1] + begin * steps[1], steps[1], count, transposed, features,
            reach_of_span(begin, first, band), scores,
        )  # fmt: skip
        for i in range(0, count * ROWS, LANES):
            check = check + load(scores, i) * scores.dtype.type(0)
        cap_scores(scores, count, cap)
        add_distance_bias(scores, count, masks[0], head[3] + first - begin + band[2])
        add_masks(
            head, (first, count_rows, tile), begin, count, sizes, steps, band, masks, word_at, scores, square
        )  # fmt: skip
        write_scores(scores, count, count_rows, offset_view(rows, begin - start), row_step)
        begin = done = begin + count
    return not abs(reduce_sum(check)) < np.inf


@inlined(no_refcount=True)
def add_distance_bias(scores, count, distance_bias, at):
    """Add the bias of each distance; the entry of key k + 1 lies one before that of key k."""
    for k in range(count):
        for j in range(0, ROWS, LANES):
            here = k * ROWS + j
            store(scores, here, load(scores, here) + load(distance_bias, at - k + j))


@inlined(no_refcount=True)
def drop_support(numbers, places, count, place, row, dropout):
    """Drop or scale what one query has for each key of its support; `place` is that of column 0 of its block."""
    if dropout[1] == 0:
        return
    for c in range(count):
        dropped = is_pair_dropped(dropout[0], place + places[c], row, dropout[1])
        numbers[c] *= 0.0 if dropped else dropout[2]


@inlined(no_refcount=True)
def fill(array, count, number):
    """Write one number `count` times."""
    for i in range(count):
        array[i] = number


@inlined(no_refcount=True)
def mix_support(weights, places, count, source, at, step, width, result):
    """result[v] = Σ_c weights[c] source[places[c], v]; returns the sums by lane."""
    zero = result.dtype.type(0)
    check = splat(zero)
    for v in range(0, width, WIDTH):
        total, other = splat(zero), splat(zero)
        for c in range(count):
            here, weight = at + places[c] * step + v, result.dtype.type(weights[c])
            total = total + load(source, here) * weight
            other = other + load(source, here + LANES) * weight
        store(result, v, total)
        store(result, v + LANES, other)
        check = check + total + other
    return check


@kernel(no_refcount=True)
def sparse_backward(
    part, parts, grain, first_block, blocks, head_table, queries, keys, features, values, tile_keys,
    query_step, key_step, value_step, bias_step, left, right, scale, base, cap,
    seed, limit, kept_scale,
    query, key, value, distance_bias, tiles, words, pair_bias, excess, output_gradient,
    query_gradient, key_gradient, value_gradient, alpha_gradient, scratch, flat_rows, rows, candidates, columns, rooms,
):  # fmt: skip
    """Write the gradients of one part's queries, and add to those of its keys and values.

    As in `sparse_forward`; `rooms` (parts, 2, keys of a row) are float64. The gradient of a query is NaN where a score
    is not finite. `alpha_gradient` receives that of α from each query, unless it is empty.
    """
    sizes = queries, keys, features, values, tile_keys
    steps = query_step, key_step, value_step, bias_step
    begin, end = blocks_of_part(head_table, blocks, grain, part, parts)
    number = query.dtype.type
    # Each part adds to its own copy of the gradients of keys and values, unless no two parts share a key head.
    copy = 0 if key_gradient.shape[0] == 1 else part
    mine, weights, places = rows[part], candidates[part], columns[part]
    for item in range(begin, end):
        head = offset_view(head_table, COLUMNS * (item // blocks))
        tile = item % blocks
        block = (first_block + tile) * ROWS, min(ROWS, queries - (first_block + tile) * ROWS), tile
        spoilt = score_rows(
            head, block, sizes, steps, (left, right, base), number(scale), number(cap), query, key,
            (distance_bias, tiles, words, pair_bias), offset_view(scratch, part * (scratch.shape[0] // parts)),
            offset_view(flat_rows, part * (ROWS * rows.shape[2])), rows.shape[2],
        )  # fmt: skip
        start, stop = keys_of_block(block[0], head[7], (left, right))
        at = head[6] * keys + start
        place = place_of_block(head[5], first_block + tile, queries, keys) + start
        for r in range(block[1]):
            row = head[5] * queries + block[0] + r
            ours = offset_view(query_gradient, row * features)
            count = -1
            if not spoilt:
                count = support_of_row(mine[r, : stop - start], excess[head[5]], weights, places)
            if count < 0:
                fill(ours, features, number(math.nan))
                continue
            row_gradients(
                (weights, places, count), excess[head[5]], (scale, cap), (features, values),
                (offset_view(query, head[0] + (block[0] + r) * query_step), offset_view(output_gradient, row * values)),
                (key, head[1] + start * key_step, key_step), (value, head[2] + start * value_step, value_step),
                (place, r, (seed, limit, kept_scale)),
                (ours, offset_view(key_gradient[copy], at * features), offset_view(value_gradient[copy], at * values)),
                (alpha_gradient, row), rooms[part, 0], rooms[part, 1],
            )  # fmt: skip


@inlined(no_refcount=True)
def row_gradients(
    support, excess, factors, widths, inputs, keys, values, dropout, gradients, alpha_gradient, room, results
):  # fmt: skip
    """Write the gradient of one query, and add to those of the keys and values of its support.

    factors: scale and cap. inputs: the query and the gradient of its output. keys, values: (array, place of the block's
    first key, step). dropout: place of column 0 of the block, row in it, and seed, limit and factor.
    alpha_gradient: (array, place in it).
    """
    weights, places, count = support
    query, above = inputs
    products(above, places, count, values, widths[1], results)
    drop_support(results, places, count, dropout[0], dropout[1], dropout[2])
    if alpha_gradient[0].shape[0] > 0:
        alpha_gradient[0][alpha_gradient[1]] = gradient_of_alpha(weights, results, 1, count, excess)
    differentiate_row(weights, results, 1, count, excess)
    differentiate_scores(query, places, count, keys, widths[0], factors, room, results)
    mix_support(results, places, count, keys[0], keys[1], keys[2], widths[0], gradients[0])
    add_to_support(results, places, count, query, widths[0], gradients[1])
    drop_support(weights, places, count, dropout[0], dropout[1], dropout[2])
    add_to_support(weights, places, count, above, widths[1], gradients[2])


@inlined(no_refcount=True)
def products(vector, places, count, rows, width, results):
    """results[c] = ⟨vector, row of c⟩ for the keys of a support; rows: (array, place of the first key, step)."""
    source, at, step = rows
    for c in range(count):
        here = at + places[c] * step
        total = splat(vector.dtype.type(0))
        for v in range(0, width, LANES):
            total = total + load(source, here + v) * load(vector, v)
        results[c] = reduce_sum(total)


@inlined(no_refcount=True)
def differentiate_scores(query, places, count, keys, width, factors, room, results):
    """Multiply the gradients of scores by the derivative of scale and soft cap, scale · (1 − tanh²(x / cap))."""
    scale, cap = factors
    if cap > 0:
        products(query, places, count, keys, width, room)
        for c in range(count):
            part = math.tanh(room[c] * (scale / cap))
            results[c] *= 1 - part * part
    for c in range(count):
        results[c] *= scale


@inlined(no_refcount=True)
def add_to_support(factors, places, count, source, width, result):
    """result[places[c], v] += factors[c] source[v]."""
    for c in range(count):
        ours, factor = offset_view(result, places[c] * width), result.dtype.type(factors[c])
        for v in range(0, width, LANES):
            store(ours, v, load(ours, v) + load(source, v) * factor)
