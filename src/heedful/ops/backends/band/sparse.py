# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Banded sparsemax and entmax attention over inner products, forward and backward kernel.

A block is ROWS queries of one head. Its scores are computed as in the softmax kernels and written to a buffer as wide
as the block's window, where each row is normalized as a whole. What follows touches the keys of positive weight alone:
the weighted sum of values, and in the backward pass all gradients. Both passes compute the scores, neither keeps them.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.backends.band.forward import (
    COLUMNS,
    SPAN,
    add_masks,
    blocks_of_part,
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
from heedful.ops.normalizers.sparse_kernel import slope_of, support_of_row


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

    `tiles`, `words`, `pair_bias` and `weights` are empty where there are none; soft cap and dropout are not computed.
    `rows` (parts, ROWS, at least the keys of a block) holds the scores, `flat_rows` is the same as one axis.
    `candidates` (float64) and `columns` (int32) are (parts, keys of a row). `checks` (parts, LANES) become finite only
    where all scores and results are.
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
            head, block, sizes, steps, (left, right, base), number(scale), query, key,
            (distance_bias, tiles, words, pair_bias), offset_view(scratch, part * (scratch.shape[0] // parts)),
            offset_view(flat_rows, part * (ROWS * rows.shape[2])), rows.shape[2],
        )  # fmt: skip
        start, stop = keys_of_block(block[0], head[7], (left, right))
        for r in range(block[1]):
            row = head[5] * queries + block[0] + r
            ours = offset_view(output, row * values)
            count = -1
            if not spoilt:
                count = support_of_row(
                    mine[r, : stop - start], excess, candidates[part], columns[part]
                )
            if count < 0:
                check = splat(number(math.nan))
                fill(ours, values, number(math.nan))
                continue
            check = check + mix_support(
                candidates[part], columns[part], count, value, head[2] + start * value_step, value_step, values, ours
            )  # fmt: skip
            if weights.shape[0] > 0:
                row_weights = offset_view(weights, row * keys + start)
                for c in range(count):
                    row_weights[columns[part, c]] = candidates[part, c]
    store(checks, part * LANES, check)


@inlined(no_refcount=True)
def score_rows(
    head, block, sizes, steps, band, scale, query, key, masks, scratch, rows, row_step
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
    query_gradient, key_gradient, value_gradient, scratch, flat_rows, rows, candidates, columns, slopes,
):  # fmt: skip
    """Write the gradients of one part's queries, and add to those of its keys and values.

    As in `sparse_forward`; `slopes` (parts, 2, keys of a row) are float64. The gradient of a query is NaN where a score
    is not finite.
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
            head, block, sizes, steps, (left, right, base), number(scale), query, key,
            (distance_bias, tiles, words, pair_bias), offset_view(scratch, part * (scratch.shape[0] // parts)),
            offset_view(flat_rows, part * (ROWS * rows.shape[2])), rows.shape[2],
        )  # fmt: skip
        start, stop = keys_of_block(block[0], head[7], (left, right))
        at = head[6] * keys + start
        for r in range(block[1]):
            row = head[5] * queries + block[0] + r
            ours = offset_view(query_gradient, row * features)
            count = -1
            if not spoilt:
                count = support_of_row(mine[r, : stop - start], excess, weights, places)
            if count < 0:
                fill(ours, features, number(math.nan))
                continue
            row_gradients(
                (weights, places, count), excess, number(scale), (features, values),
                (offset_view(query, head[0] + (block[0] + r) * query_step), offset_view(output_gradient, row * values)),
                (key, head[1] + start * key_step, key_step), (value, head[2] + start * value_step, value_step),
                (ours, offset_view(key_gradient[copy], at * features), offset_view(value_gradient[copy], at * values)),
                slopes[part, 0], slopes[part, 1],
            )  # fmt: skip


@inlined(no_refcount=True)
def row_gradients(
    support, excess, scale, widths, inputs, keys, values, gradients, slopes, results
):  # fmt: skip
    """Write the gradient of one query, and add to those of the keys and values of its support.

    inputs: the query and the gradient of its output. keys, values: (array, place of the block's first key, step).
    """
    weights, places, count = support
    query, above = inputs
    score_gradients(
        weights, places, count, excess, values[0], values[1], values[2], widths[1], above, scale, slopes, results
    )  # fmt: skip
    mix_support(results, places, count, keys[0], keys[1], keys[2], widths[0], gradients[0])
    add_to_support(results, places, count, query, widths[0], gradients[1])
    add_to_support(weights, places, count, above, widths[1], gradients[2])


@inlined(no_refcount=True)
def score_gradients(
    weights, places, count, excess, value, at, step, values, above, scale, slopes, results
):  # fmt: skip
    """results[c] = scale · s_c (⟨above, v_c⟩ − mean), where s = w^(2−α) and the mean is that by s.

    For α > 2, s is largest at the smallest weight, so products are counted from there, which changes nothing but the
    rounding.
    """
    smallest, origin = math.inf, 0.0
    for c in range(count):
        here = at + places[c] * step
        total = splat(above.dtype.type(0))
        for v in range(0, values, LANES):
            total = total + load(value, here + v) * load(above, v)
        results[c] = reduce_sum(total)
        if weights[c] < smallest:
            smallest, origin = weights[c], results[c]
    total, weighted = 0.0, 0.0
    for c in range(count):
        slopes[c] = slope_of(weights[c], excess)
        total += slopes[c]
        weighted += slopes[c] * (results[c] - origin)
    mean = weighted / total if total != 0 else 0.0
    for c in range(count):
        results[c] = scale * (slopes[c] * (results[c] - origin - mean))


@inlined(no_refcount=True)
def add_to_support(factors, places, count, source, width, result):
    """result[places[c], v] += factors[c] source[v]."""
    for c in range(count):
        ours, factor = offset_view(result, places[c] * width), result.dtype.type(factors[c])
        for v in range(0, width, LANES):
            store(ours, v, load(ours, v) + load(source, v) * factor)
