# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Banded softmax attention over inner products, forward kernel.

One block is ROWS queries of one head and every key that any of them may attend to. The keys are visited in spans of
at most SPAN, with a running maximum and sum per query (online softmax: Milakov and Gimelshein 2018,
https://arxiv.org/abs/1805.02867).

Scores are stored transposed, (key, query): each row is two vectors of queries. The maximum and the sum over keys need
no reduction within a vector, and both matrix products load rows that are contiguous in memory. A mask or bias that
depends on the distance between query and key is one array, read at an offset that moves with key and query. Minus
infinity hides a pair.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.backends.band.dropout import drop_pairs, place_of_block
from heedful.ops.backends.band.pair_bias import SPACE, add_pair_bias
from heedful.ops.backends.band.shape import GROUP, ROWS, WIDTH
from heedful.ops.backends.band.widening import widen_rows
from heedful.ops.backends.band.words import hide_by_words, hide_weights, next_span
from heedful.ops.jit.kernel import (
    exp_below_one,
    inlined,
    kernel,
    load,
    maximum,
    offset_view,
    product_8x16,
    product_tile,
    select_positive,
    splat,
    store,
    transpose_block,
)
from heedful.ops.jit.source import LANES

SPAN = 320
"""Largest number of keys in a span: its scores stay in the inner caches."""
P0, P1, P2 = -9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3
Q0, Q1, Q2 = 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3
"""The rational approximation of tanh for small numbers."""
COLUMNS = 10
"""Columns of the head table, one row for each query head of each batch entry: offsets of its query, key, value,
distance bias and bias tiles; its index among the query heads; the index of its key head; the number of keys it may
attend to; the offsets of its words and of its pair bias."""


def forward_space(features: int, values: int) -> int:
    """Scratch numbers that each part of the work needs."""
    return ROWS * (features + SPAN + values + 4) + SPACE


def widening_space(features: int) -> int:
    """Float32 numbers that each part of the work needs to widen queries and keys."""
    return SPAN * features


@kernel(no_refcount=True, halves=True)
def band_forward(
    part, parts, grain, first_block, blocks, head_table, queries, keys, features, values, tile_keys,
    query_step, key_step, value_step, bias_step, left, right, scale, base, cap,
    seed, limit, kept_scale,
    query, key, value, distance_bias, tiles, words, pair_bias, sinks, output, logsumexp, weights, checks, scratch, room,
):  # fmt: skip
    """Attend for one part of the blocks of all heads.

    `tiles`, `words`, `pair_bias`, `sinks` and `weights` are empty where there are none, and `room` unless query or key
    is in half precision: queries and keys are widened into it, a span at a time, values as they are read. `output` may
    be in half precision too.
    """
    sizes = queries, keys, features, values, tile_keys
    steps = query_step, key_step, value_step, bias_step
    begin, end = blocks_of_part(head_table, blocks, grain, part, parts)
    number = logsumexp.dtype.type
    check = splat(number(0))
    for item in range(begin, end):
        head, tile = item // blocks, item % blocks
        check = check + forward_block(
            offset_view(head_table, COLUMNS * head), first_block + tile, tile, sizes, steps, (left, right, base),
            number(scale), number(cap), (query, key, value, sinks), (distance_bias, tiles, words, pair_bias),
            (seed, limit, kept_scale), (output, logsumexp, weights),
            offset_view(scratch, part * (scratch.shape[0] // parts)),
            offset_view(room, part * (room.shape[0] // parts)),
        )  # fmt: skip
    store(checks, part * LANES, check)


@inlined(no_refcount=True)
def blocks_of_part(head_table, blocks, grain, part, parts):
    """First and last (exclusive) of the blocks of all heads that one part computes, in whole grains."""
    total = head_table.shape[0] // COLUMNS * blocks // grain
    return total * part // parts * grain, total * (part + 1) // parts * grain


@inlined(no_refcount=True)
def keys_of_block(first, keys, band):
    """First and last (exclusive) key that any query of the block starting at `first` may attend to."""
    start = max(0, first - band[0])
    return start, max(start, min(keys, first + ROWS + band[1]))


@inlined(no_refcount=True)
def forward_block(
    head, block, tile, sizes, steps, band, scale, cap, inputs, masks, dropout, results, scratch, room
):  # fmt: skip
    """Compute one block of one head; returns the sum of the numbers written, by lane."""
    query, key, value, sinks = inputs
    output, logsumexp, weights = results
    features, values, first = sizes[2], sizes[3], block * ROWS
    rows = min(ROWS, sizes[0] - first)
    transposed, scores = scratch, offset_view(scratch, ROWS * features)
    sums, state = offset_view(scores, ROWS * SPAN), offset_view(scores, ROWS * (SPAN + values))
    query_at = head[0] + first * steps[0]
    transpose_queries(query, query_at, steps[0], rows, features, scale, transposed, room)
    start_state(state, sinks[head[5]] if sinks.shape[0] > 0 else logsumexp.dtype.type(-np.inf))
    start, stop = keys_of_block(first, head[7], band)
    clear(sums, ROWS * values)
    row = head[5] * sizes[0] + first
    row_weights = offset_view(weights, row * sizes[1] + start)
    word_at = words_of_block(head[8], tile, first, sizes, band)
    place = place_of_block(head[5], block, sizes[0], sizes[1])
    begin, done, count = start, start, 1
    while begin < stop and count > 0:
        begin, count = next_span(masks[2], word_at, begin, stop, span_size(stop - start))
        hide_weights(row_weights, rows, sizes[1], done - start, begin - start)
        key_at, value_at = head[1] + begin * steps[1], head[2] + begin * steps[2]
        reach = reach_of_span(begin, first, band)
        multiply_keys(key, key_at, steps[1], count, transposed, features, reach, scores, room)
        cap_scores(scores, count, cap)
        add_masks(
            head, (first, rows, tile), begin, count, sizes, steps, band, masks, word_at, scores,
            offset_view(state, 4 * ROWS),
        )  # fmt: skip
        raise_maximum(scores, count, masks[0], head[3] + first - begin + band[2], state)
        write_scores(scores, count, rows, offset_view(row_weights, begin - start), sizes[1])
        update_softmax(scores, count, state)
        drop_pairs(scores, count, place + begin, dropout)
        if begin > start:
            rescale(sums, values, offset_view(state, 2 * ROWS))
        add_weighted_values(scores, count, value, value_at, steps[2], values, reach, sums)
        begin = done = begin + count
    row_logsumexp = offset_view(logsumexp, row)
    check = write_rows(rows, values, state, sums, offset_view(output, row * values), row_logsumexp)
    if weights.shape[0] > 0:
        check = check + normalize_scores(row_weights, rows, stop - start, sizes[1], row_logsumexp, state)  # fmt: skip
    return check


@inlined(no_refcount=True)
def words_of_block(at, tile, first, sizes, band):
    """The place in the words of a head, which begin at `at`, where key 0 of a block's words would lie."""
    return at + tile * min(sizes[1], sizes[4]) - max(0, first - band[0])


@inlined(no_refcount=True)
def transpose_rows(source, at, step, rows, features, scale, transposed):
    """Write rows of features as scaled columns, (feature, row); rows beyond the last one are zeros."""
    if rows == ROWS:
        for f in range(0, features, LANES):
            for row in range(0, ROWS, LANES):
                transpose_block(source, at + row * step + f, step, transposed, f * ROWS + row, ROWS)
        for i in range(0, ROWS * features, LANES):
            store(transposed, i, load(transposed, i) * scale)
    else:
        clear(transposed, ROWS * features)
        for row in range(rows):
            from_row, to_column = offset_view(source, at + row * step), offset_view(transposed, row)
            for f in range(features):
                to_column[f * ROWS] = from_row[f] * scale


@inlined(no_refcount=True)
def span_size(keys):
    """Keys of a span: as many in each as whole tiles allow."""
    spans = (keys + SPAN - 1) // SPAN
    return 1 if spans == 0 else ((keys + spans - 1) // spans + GROUP - 1) // GROUP * GROUP


@inlined(no_refcount=True)
def transpose_queries(query, at, step, rows, features, scale, transposed, room):
    """`transpose_rows` of queries, widened first where there is room for it."""
    if room.shape[0] == 0:
        transpose_rows(query, at, step, rows, features, scale, transposed)
    else:
        widen_rows(query, at, step, rows, features, room)
        transpose_rows(room, 0, features, rows, features, scale, transposed)


@inlined(no_refcount=True)
def multiply_keys(key, at, step, count, transposed, features, reach, scores, room):
    """`multiply_rows` of keys, widened first where there is room for it."""
    if room.shape[0] == 0:
        multiply_rows(key, at, step, count, transposed, features, reach, scores)
    else:
        widen_rows(key, at, step, count, features, room)
        multiply_rows(room, 0, features, count, transposed, features, reach, scores)


@inlined(no_refcount=True)
def add_masks(head, of_block, begin, count, sizes, steps, band, masks, word_at, scores, square):
    """Add biases of pairs to the scores of a span, and hide what words hide; `square` is SPACE numbers of scratch."""
    _, tiles, words, pair_bias = masks
    first, rows, tile = of_block
    if tiles.shape[0] > 0:
        at = head[4] + (tile * sizes[4] + begin - (first - band[0])) * ROWS
        add_tile(scores, count, offset_view(tiles, at))
    if pair_bias.shape[0] > 0:
        bias_rows = offset_view(pair_bias, head[9] + first * steps[3] + begin)
        add_pair_bias(scores, count, rows, bias_rows, steps[3], square)
    if words.shape[0] > 0:
        hide_by_words(scores, count, words, word_at + begin)


@inlined(no_refcount=True)
def clear(array, count):
    """Write zeros."""
    zero = array.dtype.type(0)
    for i in range(count):
        array[i] = zero


@inlined(no_refcount=True)
def start_state(state, sink):
    """Initialize the running maximum and sum of each query: those of the sink, minus infinity where there is none.

    state is (4, ROWS): maximum, sum, factor of the previous sums, and the maximum with this span's scores, with 0 in
    place of minus infinity.
    """
    for i in range(ROWS):
        state[i] = sink
        state[ROWS + i] = 0 if sink == -np.inf else 1


@inlined(no_refcount=True)
def reach_of_span(begin, first, band):
    """First and last query of the block, which starts at `first`, that may attend to the first key of a span.

    Those of key k of the span lie k later. Products leave out what lies beyond them.
    """
    return begin - band[1] - first, begin + band[0] - first


@inlined(no_refcount=True)
def multiply_rows(source, at, step, count, transposed, features, reach, result):
    """result[k, q] = Σ_f source[k, f] transposed[f, q] for `count` rows of the source.

    Where no query of the first or of the last half of the block is in reach of a group of rows, that half is zeros.
    """
    for k in range(0, count, GROUP):
        rows = (source, at + k * step, step, 1)
        low, high = reach[0] + k, reach[1] + k + GROUP
        if low < LANES and high > LANES:
            product_tile(
                rows, (transposed, 0, ROWS), (result, k * ROWS, ROWS), features, min(GROUP, count - k), True
            )  # fmt: skip
        else:
            seen = 0 if low < LANES else LANES
            clear_half(result, k * ROWS + LANES - seen)
            product_8x16(
                rows, (transposed, seen, ROWS), (result, k * ROWS + seen, ROWS), features, min(GROUP, count - k), True
            )  # fmt: skip


@inlined(no_refcount=True)
def clear_half(result, at):
    """Write zeros for half of the queries of a group of rows."""
    zero = splat(result.dtype.type(0))
    for i in range(at, at + GROUP * ROWS, ROWS):
        store(result, i, zero)


@inlined(no_refcount=True)
def cap_scores(scores, count, cap):
    """Replace each score x by cap · tanh(x / cap); a cap of 0 is none."""
    if cap <= 0:
        return
    for i in range(0, count * ROWS, LANES):
        store(scores, i, soft_capped(load(scores, i), cap))


@inlined(no_refcount=True)
def soft_capped(x, cap):
    """The cap times tanh(x / cap) by lane; NaN where x is not finite, so that it is noticed."""
    number = type(cap)
    y = x * (number(1) / cap)
    z = y * y
    # Cephes' tanh: y + y³ P(y²) / Q(y²) below 0.625, where 1 − 2 / (e^2y + 1) would cancel.
    above = (z * number(P0) + number(P1)) * z + number(P2)
    below = ((z + number(Q0)) * z + number(Q1)) * z + number(Q2)
    small = y + y * z * (above / below)
    size = select_positive(y, y, y * number(-1))
    power = exp_below_one(size * number(-2))
    large = splat(number(1)) - power * number(2) / (power + number(1))
    large = select_positive(y, large, large * number(-1)) + (y - y)
    return select_positive(splat(number(0.625)) - size, small, large) * cap


@inlined(no_refcount=True)
def raise_maximum(scores, count, distance_bias, at, state):
    """Add the bias of each distance, and find the maximum of each query for `update_softmax`.

    The entry of key k + 1 lies one before that of key k.
    """
    top, other = load(state, 0), load(state, LANES)
    for k in range(count):
        here = k * ROWS
        score = load(scores, here) + load(distance_bias, at - k)
        store(scores, here, score)
        top = maximum(score, top)
        score = load(scores, here + LANES) + load(distance_bias, at - k + LANES)
        store(scores, here + LANES, score)
        other = maximum(score, other)
    store(state, 3 * ROWS, top)
    store(state, 3 * ROWS + LANES, other)


@inlined(no_refcount=True)
def add_tile(scores, count, tile):
    """Add the masks and biases that depend on more than the distance."""
    for i in range(0, count * ROWS, LANES):
        store(scores, i, load(scores, i) + load(tile, i))


@inlined(no_refcount=True)
def write_scores(scores, count, rows, weights, step):
    """weights[q, k] = scores[k, q] for the pairs of a span; the rows of weights lie `step` apart; none if empty."""
    if weights.shape[0] == 0:
        return
    for row in range(0, rows, LANES):
        for k in range(0, count, LANES):
            if row + LANES <= rows and k + LANES <= count:
                transpose_block(scores, k * ROWS + row, ROWS, weights, row * step + k, step)
            else:
                for r in range(row, min(rows, row + LANES)):
                    to_row = offset_view(weights, r * step)
                    for c in range(k, min(count, k + LANES)):
                        to_row[c] = scores[c * ROWS + r]


@inlined(no_refcount=True)
def update_softmax(scores, count, state):
    """Replace scores by exponentials below the maximum of `raise_maximum`; update maximum, sum and factor."""
    for i in range(ROWS):
        before, now = state[i], state[3 * ROWS + i]
        state[i] = now
        now = state.dtype.type(0) if now == -np.inf else now
        state[3 * ROWS + i] = now
        state[2 * ROWS + i] = before - now
    for i in range(0, ROWS, LANES):
        factor = exp_below_one(load(state, 2 * ROWS + i))
        store(state, 2 * ROWS + i, factor)
        store(state, ROWS + i, factor * load(state, ROWS + i))
    top, other = load(state, 3 * ROWS), load(state, 3 * ROWS + LANES)
    total, rest = load(state, ROWS), load(state, ROWS + LANES)
    for k in range(count):
        here = k * ROWS
        weight = exp_below_one(load(scores, here) - top)
        store(scores, here, weight)
        total = total + weight
        weight = exp_below_one(load(scores, here + LANES) - other)
        store(scores, here + LANES, weight)
        rest = rest + weight
    store(state, ROWS, total)
    store(state, ROWS + LANES, rest)


@inlined(no_refcount=True)
def rescale(sums, values, factors):
    """Multiply the weighted sums of previous spans to refer to the new maximum."""
    for row in range(ROWS):
        row_sums, factor = offset_view(sums, row * values), factors[row]
        for v in range(values):
            row_sums[v] *= factor


@inlined(no_refcount=True)
def add_weighted_values(weights, count, source, at, step, width, reach, result):
    """result[q, v] += Σ_k weights[k, q] source[k, v], over keys in reach of a group of queries."""
    for v in range(0, width, WIDTH):
        for q in range(0, ROWS, GROUP):
            low, high = max(0, q - reach[1]), min(count, q + GROUP - reach[0])
            product_tile(
                (weights, q + low * ROWS, 1, ROWS), (source, at + low * step + v, step),
                (result, q * width + v, width), high - low, GROUP, False,
            )  # fmt: skip


@inlined(no_refcount=True)
def write_rows(rows, values, state, sums, output, logsumexp):
    """Divide the weighted sums by the sums of exponentials; a row without any key gets output and logsumexp 0."""
    one, zero = logsumexp.dtype.type(1), logsumexp.dtype.type(0)
    check = splat(zero)
    for row in range(rows):
        top, total = state[row], state[ROWS + row]
        is_empty = total == zero
        part = splat(zero if is_empty else one / total)
        logsumexp[row] = zero if is_empty else top + math.log(total)
        for v in range(0, values, LANES):
            result = load(sums, row * values + v) * part
            store(output, row * values + v, result)
            check = check + result
    return check


@inlined(no_refcount=True)
def normalize_scores(weights, rows, count, step, logsumexp, buffer):
    """weights[q, k] = e^(weights[q, k] − logsumexp[q]), in place; returns their sum by lane."""
    zero = weights.dtype.type(0)
    check = splat(zero)
    whole = count // LANES * LANES
    for row in range(rows):
        row_weights, subtracted = offset_view(weights, row * step), splat(logsumexp[row])
        for k in range(0, whole, LANES):
            weight = exp_below_one(load(row_weights, k) - subtracted)
            store(row_weights, k, weight)
            check = check + weight
        if whole < count:
            # The remainder goes through a vector of its own; -inf in the unused lanes becomes 0.
            for i in range(LANES):
                buffer[i] = row_weights[whole + i] if whole + i < count else -np.inf
            weight = exp_below_one(load(buffer, 0) - subtracted)
            store(buffer, 0, weight)
            check = check + weight
            for i in range(count - whole):
                row_weights[whole + i] = buffer[i]
    return check
