# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Additive attention under softmax, forward, on a CPU: scores, online softmax and weights · values in one pass.

A block of queries iterates over chunks of `CHUNK` keys. Between chunks a row keeps its maximum score, the sum of its
exponentials, and the output so far; the last two are rescaled when the maximum grows (online softmax, Milakov and
Gimelshein 2018, https://arxiv.org/abs/1805.02867).
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.backends.additive.linear import clear, multiply, scale
from heedful.ops.backends.additive.pair import (
    BLOCK,
    HALF,
    KEYS,
    ONE,
    SUMS,
    ZERO,
    exp_keys,
    exp_rows,
    features_numbers,
    features_space,
    limit_for,
    padded_size,
    tile_function,
    tile_scores,
)
from heedful.ops.jit.kernel import (
    exp_below_one,
    kernel,
    load,
    offset_view,
    reduce_max,
    reduce_sum,
    select_positive,
    splat,
    store,
)
from heedful.ops.jit.source import LANES

CHUNK = 512
MINUS_INFINITY = np.float32(-np.inf)
LARGEST = float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)
"""Largest finite float32 and float64."""


def forward_numbers(rows: int, keys: int, hidden: int) -> int:
    """Size of the scratch of one thread, in elements."""
    padded = -(-hidden // LANES) * LANES
    chunk = min(CHUNK, -(-keys // KEYS) * KEYS)
    return features_numbers(rows, padded) + rows * (chunk + 2) + (BLOCK // LANES + KEYS) * padded


# Bounds of the mask: `window` is (before, after)


@tile_function
def key_range(row, rows, keys, window):
    """First and last (exclusive) key in the window of any row of a block: row i has i − window[0] to i + window[1]."""
    first = max(0, row - window[0])
    return first, max(first, min(keys, row + rows + window[1]))


@tile_function
def row_range(row, rows, key, count, window):
    """First and last (exclusive) row of a block with any of `count` keys in its window."""
    first = max(0, key - window[1] - row)
    return first, max(first, min(rows, key + count + window[0] - row))


@tile_function
def mask_scores(scores, row, rows, begin, end, key, count, window, column, stride):
    """Write minus infinity for keys outside the window of a row; only rows `begin` to `end` have keys inside."""
    for q in range(rows):
        at = q * stride + column
        first, last = count, count
        if begin <= q < end:
            first, last = (
                max(0, row + q - window[0] - key),
                min(count, row + q + window[1] + 1 - key),
            )
        for k in range(min(first, count)):
            scores[at + k] = MINUS_INFINITY
        for k in range(last, count):
            scores[at + k] = MINUS_INFINITY


@tile_function
def add_bias(scores, begin, end, count, column, stride, added, at, added_stride):
    """Add a bias to the scores of rows `begin` to `end`; minus infinity masks, even where the score is NaN."""
    largest, masked = limit_for(added, LARGEST), splat(added.dtype.type(MINUS_INFINITY))
    zero, whole = splat(added.dtype.type(0)), count // LANES * LANES
    for q in range(begin, end):
        ours, theirs = q * stride + column, at + q * added_stride
        for k in range(0, whole, LANES):
            more = load(added, theirs + k)
            # more / 2 + largest is negative only if `more` is minus infinity.
            is_masked = zero - (more * HALF + largest)
            biased = load(scores, ours + k) + more
            store(scores, ours + k, select_positive(is_masked, masked, biased))
        for k in range(whole, count):
            more = added[theirs + k]
            biased = scores[ours + k] + more
            scores[ours + k] = MINUS_INFINITY if more == MINUS_INFINITY else biased


# Softmax


@tile_function
def exp_weights(scores, at, count, top):
    """Replace scores by their exponentials e^{score − top}, and the padding of lanes by 0. Returns their sum."""
    for k in range(count, padded_size(count)):
        scores[at + k] = MINUS_INFINITY
    many, highest = splat(scores.dtype.type(0)), splat(top)
    for k in range(at, at + count, LANES):
        weight = exp_below_one(load(scores, k) - highest)
        store(scores, k, weight)
        many += weight
    return reduce_sum(many)


@tile_function
def highest_score(scores, at, count):
    """Maximum of `count` scores; NaN is ignored."""
    best = splat(scores.dtype.type(MINUS_INFINITY))
    whole = count // LANES * LANES
    for k in range(at, at + whole, LANES):
        x = load(scores, k)
        best = select_positive(x - best, x, best)
    top = reduce_max(best)
    for k in range(at + whole, at + count):
        top = scores[k] if scores[k] > top else top
    return top


@tile_function
def softmax_chunk(scores, stride, rows, count, tops, totals, output, o_at, width, fresh):
    """Online softmax: replace the scores of a chunk by exponentials below the running maximum, rescale the output."""
    for q in range(rows):
        top = highest_score(scores, q * stride, count)
        if not fresh:
            top = tops[q] if tops[q] > top else top
        # If all keys so far are masked, shift by 0: e^{−∞ − 0} is 0, but e^{−∞ + ∞} is NaN.
        shift = ZERO if top == MINUS_INFINITY else top
        if not fresh:
            factor = math.exp(tops[q] - shift)
            totals[q] *= factor
            scale(output, o_at + q * width, width, factor)
        total = exp_weights(scores, q * stride, count, scores.dtype.type(shift))
        totals[q] = total if fresh else totals[q] + total
        tops[q] = top


@tile_function
def copy_scores(scores, stride, rows, count, weights, w_at, w_stride):
    """Copy the scores of a chunk to the output for weights, which `finish_weights` normalizes."""
    for q in range(rows):
        ours, theirs = offset_view(scores, q * stride), offset_view(weights, w_at + q * w_stride)
        for k in range(count):
            theirs[k] = ours[k]


@tile_function
def finish_weights(weights, at, keys, logsum):
    """Replace the scores of a row by its weights e^{score − logsum}."""
    whole, shift = keys // LANES * LANES, splat(logsum)
    for k in range(at, at + whole, LANES):
        store(weights, k, exp_below_one(load(weights, k) - shift))
    for k in range(at + whole, at + keys):
        weights[k] = math.exp(weights[k] - logsum)


@tile_function
def chunk_scores(
    given, at, strides, row, rows, chunk, count, window, slope, sizes, space, tiles, added, a_at, scores
):  # fmt: skip
    """Scores of a block of rows and `count` keys from `chunk` on; minus infinity where masked."""
    hidden, _, stride, _, _, added_stride = sizes
    for column in range(0, count, KEYS):
        key, own = chunk + column, min(KEYS, count - column)
        begin, stop = row_range(row, rows, key, own, window)
        place = at[0], at[1] + key * strides[1], at[2]
        small = exp_keys(given[1], place[1], strides[1], own, hidden, slope, tiles[0])
        tile_scores(
            given, place, strides, rows, begin, stop, own, hidden, slope, small, space, tiles,
            scores, column, stride,
        )  # fmt: skip
        if len(added) > 0:
            add_bias(scores, begin, stop, own, column, stride, added, a_at + key, added_stride)
        if key < row + rows - 1 - window[0] or key + own > row + window[1] + 1:
            mask_scores(scores, row, rows, begin, stop, key, own, window, column, stride)


@tile_function
def finish_rows(rows, is_empty, width, keys, tops, totals, results, to):
    """Divide outputs by the sums of their rows, and normalize the weights if `weights` is not empty."""
    output, logsums, weights = results
    for q in range(rows):
        if is_empty or totals[q] == ZERO:
            clear(output, to[0] + q * width, width)
            logsums[to[1] + q] = ZERO
        else:
            scale(output, to[0] + q * width, width, ONE / totals[q])
            logsums[to[1] + q] = tops[q] + math.log(totals[q])
        if len(weights) > 0:
            finish_weights(weights, to[2] + q * keys, keys, logsums[to[1] + q])


@tile_function
def attend_block(
    given, value, at, strides, row, rows, keys, window, slope, sizes, added, a_at, results, to, scratch
):  # fmt: skip
    """Outputs of a block of rows at to[0], their logsumexp at to[1], and weights at to[2] unless `weights` is empty."""
    query, _, vector = given
    output, _, weights = results
    hidden, width, stride, most_rows, all_keys, _ = sizes
    padded = padded_size(hidden)
    space, end = features_space(scratch, most_rows, padded)
    tops, totals = offset_view(scratch, end), offset_view(scratch, end + most_rows)
    end += 2 * most_rows
    tiles = offset_view(scratch, end), offset_view(scratch, end + BLOCK // LANES * padded)
    scores = offset_view(scratch, end + (BLOCK // LANES + KEYS) * padded)
    exp_rows(query, at[0], strides[0], rows, hidden, vector, at[2], slope, space)
    first, last = key_range(row, rows, keys, window)
    if len(weights) > 0:
        for k in range(to[2], to[2] + rows * all_keys):
            weights[k] = MINUS_INFINITY
    for chunk in range(first, last, CHUNK):
        count = min(CHUNK, last - chunk)
        chunk_scores(
            given, at, strides, row, rows, chunk, count, window, slope, sizes, space, tiles,
            added, a_at, scores,
        )  # fmt: skip
        if len(weights) > 0:
            copy_scores(scores, stride, rows, count, weights, to[2] + chunk, all_keys)
        softmax_chunk(
            scores, stride, rows, count, tops, totals, output, to[0], width, chunk == first
        )
        multiply(
            scores, 0, stride, 1, value, at[3] + chunk * strides[2], strides[2],
            output, to[0], width, rows, count, width, chunk == first,
        )  # fmt: skip
    finish_rows(rows, first == last, width, all_keys, tops, totals, results, to)


@kernel(fastmath=SUMS, no_refcount=True)
def additive_forward(
    part, parts, slope, query, key, value, vector, places, lengths, queries, keys, hidden,
    query_stride, key_stride, value_stride, before, after, added, added_places, added_stride,
    row_first, row_stop, rows, output, logsums, weights, scratch,
):  # fmt: skip
    """Fill rows `row_first` to `row_stop` of output (units, queries, width), logsums (units, queries) and, unless it is
    empty, weights (units, queries, keys), all flat.

    `places` (units, 4) are the offsets of a unit's queries, keys, row of the vector and values. Row i attends to keys
    i − before to i + after, both inclusive, below lengths[unit]. `added` is the bias, or empty: that of row `row_first`
    begins at added_places[unit], and each next row `added_stride` later.

    Blocks of `rows` are distributed to threads in alternating order (0, 1, …, n, n, …, 1, 0), so that each gets early
    and late blocks: under a causal mask late blocks have more keys.
    """
    units, width = len(places), len(output) // len(logsums)
    stride = min(CHUNK, (keys + KEYS - 1) // KEYS * KEYS)
    sizes = hidden, width, stride, rows, keys, added_stride
    blocks = (row_stop - row_first + rows - 1) // rows
    for turn in range((units * blocks + parts - 1) // parts):
        item = turn * parts + (part if turn % 2 == 0 else parts - 1 - part)
        if item < units * blocks:
            unit, offset = item // blocks, item % blocks * rows
            row = row_first + offset
            at = (
                places[unit, 0] + row * query_stride, places[unit, 1],
                places[unit, 2], places[unit, 3],
            )  # fmt: skip
            line = unit * queries + row
            attend_block(
                (query, key, vector), value, at, (query_stride, key_stride, value_stride),
                row, min(rows, row_stop - row), max(0, min(lengths[unit], keys)), (before, after),
                slope, sizes, added,
                added_places[unit] + offset * added_stride if len(added) > 0 else 0,
                (output, logsums, weights), (line * width, line, line * keys), scratch[part],
            )  # fmt: skip
