# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Softmax attention of few queries over many keys: every key and value is read once, as it lies in memory.

The rows of one key head are all queries of the query heads that share it. They meet BLOCK keys at a time with a running
maximum and sum (online softmax: Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867). Where there are fewer
key heads than threads the keys are split too, and the caller joins the splits (Dao et al. 2023,
https://crfm.stanford.edu/2023/10/12/flashdecoding.html).

Up to CHUNK rows are computed together. Their scores are stored (key, row) without gaps, so that one vector holds the
scores of all rows with a few keys: lane i belongs to row i modulo the number of rows, which divides the lanes.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.backends.band.forward import soft_capped
from heedful.ops.jit.kernel import (
    dots_1,
    dots_4,
    dots_8,
    exp_below_one,
    inlined,
    kernel,
    load,
    maximum,
    offset_view,
    product_4x64,
    product_8x16,
    product_row,
    product_tile,
    splat,
    store,
)
from heedful.ops.jit.source import LANES

BLOCK = 64
"""Keys of a block: with their values they stay in the inner cache while several chunks of rows meet them."""
CHUNK = 8
"""Most rows whose sums stay in registers."""
STATE = 5 * LANES
"""Scratch numbers a chunk of rows: maximum, sum, factor of the previous sums, and two vectors of lanes."""


def decode_space(rows: int, features: int, values: int) -> int:
    """Scratch numbers that each part of the work needs."""
    chunks = -(-rows // CHUNK)
    width = -(-features // LANES) * LANES + -(-values // LANES) * LANES
    return chunks * (CHUNK * width + STATE) + CHUNK * BLOCK + LANES


@kernel(no_refcount=True, halves=True)
def decode_forward(
    part, parts, sizes, strides, scale, cap, query, key, value, starts, stops, added, sinks,
    output, logsumexp, weights, checks, scratch,
):  # fmt: skip
    """Attend for one part of all key heads and splits.

    sizes: batch, query heads, key heads, queries, keys, features, values, splits. strides: of query, key and value
    along batch, head and length, then of `added` along batch, head, query and key. `starts` and `stops` are (batch,
    heads, query): the keys that a query may attend to. `added`, `sinks` and `weights` are empty where there are none.
    """
    total = sizes[0] * sizes[2] * sizes[7]
    check = splat(output.dtype.type(0))
    for item in range(total * part // parts, total * (part + 1) // parts):
        check = check + attend_split(
            item, sizes, strides, output.dtype.type(scale), output.dtype.type(cap), (query, key, value),
            (starts, stops, added, sinks), (output, logsumexp, weights),
            offset_view(scratch, part * (scratch.shape[0] // parts)),
        )  # fmt: skip
    store(checks, part * LANES, check)


@inlined(no_refcount=True)
def attend_split(item, sizes, strides, scale, cap, operands, limits, results, scratch):
    """Attend from the rows of one key head to one split of its keys; returns the sum of what was written, by lane."""
    key_heads, queries = sizes[2], sizes[3]
    split, head = item % sizes[7], item // sizes[7]
    batch, key_head = head // key_heads, head % key_heads
    groups = sizes[1] // key_heads
    rows, first_head = groups * queries, batch * sizes[1] + key_head * groups
    begin, end = range_of_rows(limits[0], limits[1], first_head * queries, rows, sizes[4])
    blocks = (end - begin + BLOCK - 1) // BLOCK
    start = begin + blocks * split // sizes[7] * BLOCK
    stop = min(end, begin + blocks * (split + 1) // sizes[7] * BLOCK)
    query_at = batch * strides[0] + key_head * groups * strides[1]
    start_chunks(
        operands[0], query_at, strides, sizes, rows, scale, limits[3], first_head, split == 0, scratch
    )  # fmt: skip
    key_at = batch * strides[3] + key_head * strides[4]
    value_at = batch * strides[6] + key_head * strides[7]
    for at in range(start, stop, BLOCK):
        attend_block(
            operands, key_at + at * strides[5], value_at + at * strides[8], at, min(BLOCK, stop - at),
            first_head * queries, rows, cap, sizes, strides, limits, results[2], scratch,
        )  # fmt: skip
    row = split * (sizes[0] * sizes[1] * queries) + first_head * queries
    return write_chunks(scratch, row, rows, sizes, results)


@inlined(no_refcount=True)
def chunk_space(sizes):
    """Scratch numbers of a chunk: its rows of queries, their weighted sums, and their state."""
    return CHUNK * (rounded_up(sizes[5]) + rounded_up(sizes[6])) + STATE


@inlined(no_refcount=True)
def start_chunks(query, at, strides, sizes, rows, scale, sinks, first_head, has_sinks, scratch):
    """Copy the queries of all chunks, and set their sums and states to those of no keys."""
    features, values = sizes[5], sizes[6]
    width, value_width = rounded_up(features), rounded_up(values)
    for first in range(0, rows, CHUNK):
        own = offset_view(scratch, first // CHUNK * chunk_space(sizes))
        count = min(CHUNK, rows - first)
        copy_rows(query, at, strides, sizes[3], first, count, features, scale, own)
        clear_state(offset_view(own, CHUNK * width), CHUNK * value_width)
        if has_sinks and sinks.shape[0] > 0:
            state = offset_view(own, CHUNK * (width + value_width))
            start_at_sinks(sinks, first_head, sizes[3], first, count, state)


@inlined(no_refcount=True)
def attend_block(
    operands, key_at, value_at, at, count, first_row, rows, cap, sizes, strides, limits, weights, scratch
):  # fmt: skip
    """Add the keys of one block, from number `at` on, to the sums of all chunks of rows."""
    keys, features, values, step = sizes[4], sizes[5], sizes[6], chunk_space(sizes)
    width, value_width = rounded_up(features), rounded_up(values)
    scores = offset_view(scratch, (rows + CHUNK - 1) // CHUNK * step)
    for first in range(0, rows, CHUNK):
        own = offset_view(scratch, first // CHUNK * step)
        sums = offset_view(own, CHUNK * width)
        state = offset_view(sums, CHUNK * value_width)
        number, row = min(CHUNK, rows - first), first_row + first
        computed = computed_rows(number)
        multiply_keys(
            operands[1], key_at, strides[5], count, own, width, computed, features, scores
        )
        used = finish_scores(scores, at, count, row, number, computed, cap, sizes, strides, limits)
        if weights.shape[0] > 0:
            write_scores(scores, count, number, computed, weights, row * keys + at, keys)
        if update_softmax(scores, used, computed, state):
            rescale(sums, value_width, computed, offset_view(state, 2 * LANES))
        add_values(
            scores, operands[2], value_at, strides[8], count, computed, values, value_width, sums
        )


@inlined(no_refcount=True)
def write_chunks(scratch, row, rows, sizes, results):
    """Write the rows of all chunks, from number `row` on; returns the sum of what was written, by lane."""
    width, values, value_width = rounded_up(sizes[5]), sizes[6], rounded_up(sizes[6])
    check = splat(results[0].dtype.type(0))
    for first in range(0, rows, CHUNK):
        sums = offset_view(scratch, first // CHUNK * chunk_space(sizes) + CHUNK * width)
        check = check + write_rows(
            sums, offset_view(sums, CHUNK * value_width), min(CHUNK, rows - first), values, value_width,
            offset_view(results[0], (row + first) * values), offset_view(results[1], row + first),
        )  # fmt: skip
    return check


@inlined(no_refcount=True)
def rounded_up(size):
    """A number of features, rounded up to whole vectors."""
    return (size + LANES - 1) // LANES * LANES


@inlined(no_refcount=True)
def computed_rows(rows):
    """The number of rows that are computed for so many: 1, 4 or 8."""
    return 1 if rows == 1 else (4 if rows <= 4 else 8)


@inlined(no_refcount=True)
def range_of_rows(starts, stops, first, rows, keys):
    """First and last (exclusive) key that any of the rows may attend to."""
    start, stop = keys, 0
    for row in range(first, first + rows):
        if stops[row] > starts[row]:
            start, stop = min(start, starts[row]), max(stop, stops[row])
    start = max(0, start)
    return start, max(start, min(stop, keys))


@inlined(no_refcount=True)
def copy_rows(query, at, strides, queries, first, count, features, scale, target):
    """Copy scaled rows of queries, with zeros in the last vector for the features that the one before holds too."""
    width = rounded_up(features)
    whole = features // LANES * LANES
    for i in range(CHUNK * width):
        target[i] = 0
    for r in range(count):
        row = first + r
        source = offset_view(query, at + row // queries * strides[1] + row % queries * strides[2])
        if whole > 0:
            for f in range(0, whole, LANES):
                store(target, r * width + f, load(source, f) * scale)
        if whole < features:
            store(target, r * width + whole, load(source, features - LANES) * scale)
            for i in range(LANES - (features - whole)):
                target[r * width + whole + i] = 0


@inlined(no_refcount=True)
def clear_state(sums, count):
    """Write zeros to the weighted sums, minus infinity to the maxima, and zeros to the sums of exponentials."""
    for i in range(count):
        sums[i] = 0
    for i in range(LANES):
        sums[count + i] = -np.inf
        sums[count + LANES + i] = 0


@inlined(no_refcount=True)
def start_at_sinks(sinks, head, queries, first, count, state):
    """A sink is a key of value 0: its score is the first maximum, and its exponential the first sum."""
    for r in range(count):
        sink = sinks[head + (first + r) // queries]
        if sink != -np.inf:
            state[r] = sink
            state[LANES + r] = 1


@inlined(no_refcount=True)
def multiply_keys(key, at, step, count, rows, width, number, features, scores):
    """scores[k, r] = Σ_f key[k, f] rows[r, f] for 1, 4 or 8 rows."""
    queries = rows, 0, width
    if number == 1:
        for k in range(0, count, 16):
            dots_1((key, at + k * step, step), queries, (scores, k), features, count - k)
    elif number == 4:
        for k in range(0, count, 4):
            dots_4((key, at + k * step, step), queries, (scores, 4 * k), features, count - k)
    else:
        for k in range(0, count, 2):
            dots_8((key, at + k * step, step), queries, (scores, 8 * k), features, count - k)


@inlined(no_refcount=True)
def finish_scores(scores, at, count, first_row, rows, number, cap, sizes, strides, limits):
    """Cap the scores, add mask and bias, hide keys beyond each row's; returns how many lanes are used."""
    used = rounded_up(count * number)
    for i in range(count * number, used):
        scores[i] = -np.inf
    if cap > 0:
        for i in range(0, used, LANES):
            store(scores, i, soft_capped(load(scores, i), cap))
        for i in range(count * number, used):
            scores[i] = -np.inf
    if limits[2].shape[0] > 0:
        for r in range(rows):
            row = first_row + r
            head = row // sizes[3]
            place = head // sizes[1] * strides[9] + head % sizes[1] * strides[10]
            place += row % sizes[3] * strides[11] + at * strides[12]
            bias = offset_view(limits[2], place)
            for k in range(count):
                scores[k * number + r] += bias[k * strides[12]]
    for r in range(rows):
        start, stop = limits[0][first_row + r] - at, limits[1][first_row + r] - at
        if start > 0 or stop < count:
            for k in range(count):
                if k < start or k >= stop:
                    scores[k * number + r] = -np.inf
    return used


@inlined(no_refcount=True)
def write_scores(scores, count, rows, number, weights, at, step):
    """weights[r, k] = scores[k, r]; the rows of weights lie `step` apart."""
    for r in range(rows):
        target = offset_view(weights, at + r * step)
        for k in range(count):
            target[k] = scores[k * number + r]


@inlined(no_refcount=True)
def update_softmax(scores, used, number, state):
    """Replace scores by exponentials below the running maximum; returns whether previous sums must be rescaled.

    `state` is (5, LANES): maximum and sum of each row, the factor of its previous sums, and two vectors of lanes.
    """
    number_type = scores.dtype.type
    top = splat(number_type(-np.inf))
    for i in range(0, used, LANES):
        top = maximum(load(scores, i), top)
    store(state, 3 * LANES, top)
    changed = False
    for r in range(number):
        best = state[3 * LANES + r]
        for i in range(r, LANES, number):
            best = max(best, state[3 * LANES + i])
        before = state[r]
        now = max(best, before)
        state[r] = now
        shown = number_type(0) if now == -np.inf else now
        changed = changed or (before != now and before != -np.inf)
        state[2 * LANES + r] = before - shown
        for i in range(r, LANES, number):
            state[3 * LANES + i] = shown
    for r in range(number, LANES):
        state[2 * LANES + r] = 0
    factor = exp_below_one(load(state, 2 * LANES))
    store(state, 2 * LANES, factor)
    top, total = load(state, 3 * LANES), splat(number_type(0))
    for i in range(0, used, LANES):
        weight = exp_below_one(load(scores, i) - top)
        store(scores, i, weight)
        total = total + weight
    store(state, 4 * LANES, total)
    for r in range(number):
        more = number_type(0)
        for i in range(r, LANES, number):
            more += state[4 * LANES + i]
        state[LANES + r] = state[LANES + r] * state[2 * LANES + r] + more
    return changed


@inlined(no_refcount=True)
def rescale(sums, width, rows, factors):
    """Multiply the weighted sums of the blocks before to refer to the new maximum."""
    for r in range(rows):
        factor = splat(factors[r])
        for v in range(0, width, LANES):
            store(sums, r * width + v, load(sums, r * width + v) * factor)


@inlined(no_refcount=True)
def add_values(weights, value, at, step, count, number, values, width, sums):
    """sums[r, v] += Σ_k weights[k, r] value[k, v]; the last vector of a row ends with the value's last feature."""
    wide = values // 64 * 64 if number < 8 else values // 32 * 32
    left = weights, 0, 1, number
    if number == 1:
        for v in range(0, wide, 64):
            product_row(left, (value, at + v, step), (sums, v, width), count, 1, False)
    elif number == 4:
        for v in range(0, wide, 64):
            product_4x64(left, (value, at + v, step), (sums, v, width), count, 4, False)
    else:
        for v in range(0, wide, 32):
            product_tile(left, (value, at + v, step), (sums, v, width), count, 8, False)
    for v in range(wide, width, LANES):
        right = value, at + min(v, values - LANES), step
        product_8x16(left, right, (sums, v, width), count, number, False)


@inlined(no_refcount=True)
def write_rows(sums, state, rows, values, width, output, logsumexp):
    """Divide by the sums of exponentials; a row without keys gets output 0 and logsumexp minus infinity."""
    one, zero = sums.dtype.type(1), sums.dtype.type(0)
    check = splat(zero)
    whole = values // LANES * LANES
    for r in range(rows):
        total = state[LANES + r]
        is_empty = total == zero
        part = splat(zero if is_empty else one / total)
        logsumexp[r] = sums.dtype.type(-np.inf) if is_empty else state[r] + math.log(total)
        # The last vector first: where it overlaps the one before, both hold the same numbers.
        if whole < values:
            result = load(sums, r * width + whole) * part
            store(output, r * values + values - LANES, result)
            check = check + result
        for v in range(0, whole, LANES):
            result = load(sums, r * width + v) * part
            store(output, r * values + v, result)
            check = check + result
    return check
