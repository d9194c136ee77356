# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Banded softmax attention over inner products, backward kernel.

Visits the same blocks as the forward kernel, recomputes their scores, and takes the weights from the logsumexp that
the forward kernel kept.
"""

from __future__ import annotations

from heedful.ops.backends.band.dropout import drop_pairs, place_of_block
from heedful.ops.backends.band.forward import (
    COLUMNS,
    add_masks,
    add_weighted_values,
    blocks_of_part,
    cap_scores,
    clear,
    keys_of_block,
    multiply_rows,
    reach_of_span,
    transpose_rows,
    words_of_block,
)
from heedful.ops.backends.band.moving_sums import write_gradients
from heedful.ops.backends.band.pair_bias import SPACE
from heedful.ops.backends.band.shape import GROUP, ROWS, WIDTH
from heedful.ops.backends.band.widening import number_if_none, widened
from heedful.ops.backends.band.words import next_span
from heedful.ops.jit.kernel import (
    exp_below_one,
    inlined,
    kernel,
    load,
    offset_view,
    product_tile,
    reduce_sum,
    splat,
    store,
)
from heedful.ops.jit.source import LANES

SPAN = 160
"""Largest number of keys in a span: its scores and their gradients stay in the inner caches."""


def backward_space(features: int, values: int) -> int:
    """Scratch numbers that each part of the work needs."""
    return ROWS * (2 * features + values + 3 * SPAN + 2) + SPACE


def backward_room(features: int, values: int) -> int:
    """Float32 numbers that each part of the work needs to widen a block of queries and a span of keys."""
    return (ROWS + SPAN) * (features + values)


@kernel(no_refcount=True, halves=True)
def band_backward(
    part, parts, grain, first_block, blocks, head_table, queries, keys, features, values, tile_keys,
    query_step, key_step, value_step, bias_step, left, right, scale, base, cap,
    seed, limit, kept_scale,
    query, key, value, distance_bias, tiles, words, pair_bias, output, logsumexp, output_gradient,
    half_query, half_key, half_value, half_output_gradient, room_step,
    across, query_gradient, key_sums, value_sums, key_gradient, value_gradient, products, checks, scratch,
):  # fmt: skip
    """Add up gradients for one part of the blocks of all heads.

    `tiles`, `words` and `pair_bias` are empty where there are none. `across` heads that share a key head take turns at
    each block. `half_query` and its like are None unless one of them is in half precision: then `query`, `key`, `value`
    and `output_gradient` are one array of `room_step` numbers for each part, into which they are widened.
    `key_gradient` and `value_gradient` are None unless `moving_sums` writes them, from sums of the keys in reach of a
    block. `products` receives the inner product of each output and its gradient, or is empty.
    """
    sizes = queries, keys, features, values, tile_keys
    steps = query_step, key_step, value_step, bias_step
    begin, end = blocks_of_part(head_table, blocks, grain, part, parts)
    part_scratch = offset_view(scratch, part * (scratch.shape[0] // parts))
    number = logsumexp.dtype.type
    check = splat(number(0))
    # Each part adds to its own copy of the gradients of keys and values, unless no two parts share a key head.
    copy = 0 if key_sums.shape[0] == 1 else part
    sums, low = (key_sums[copy], value_sums[copy]), 0
    for item in range(begin, end):
        place = item % (across * blocks)
        head, tile = item // (across * blocks) * across + place % across, place // across
        row = offset_view(head_table, COLUMNS * head)
        block = first_block + tile
        if key_gradient is not None and place % across == 0:
            stop = min(keys, max(0, block * ROWS - left))
            check = check + write_gradients(
                sums, sizes, low, stop, row[6], key_gradient, value_gradient
            )
            low = stop
        check = check + backward_block(
            row, block, tile, sizes, steps, (left, right, base), (number(scale), number(cap)),
            (distance_bias, tiles, words, pair_bias), (seed, limit, kept_scale),
            (query, key, value, output_gradient), (half_query, half_key, half_value, half_output_gradient),
            part * room_step, (output, logsumexp, products),
            (query_gradient, sums, number_if_none(key_gradient, row[6] * keys, -low)), part_scratch,
        )  # fmt: skip
        if key_gradient is not None and place == across * blocks - 1:
            check = check + write_gradients(
                sums, sizes, low, keys, row[6], key_gradient, value_gradient
            )
            low = 0
    store(checks, part * LANES, check)


@inlined(no_refcount=True)
def backward_block(
    head, block, tile, sizes, steps, band, factors, masks, dropout, inputs, halves, room_at, results, gradients, scratch
):  # fmt: skip
    """Write the gradient of one block's queries and add to the gradients of its keys and values.

    Returns the sum of the numbers written, by lane.
    """
    features, values, first, cap = sizes[2], sizes[3], block * ROWS, factors[1]
    rows, row = min(ROWS, sizes[0] - first), head[5] * sizes[0] + first
    transposed, upstream, scores, slopes, sums, state, bends = split(scratch, features, values)
    query_at, query_step, direction_at, direction_step = read_block(
        (head[0] + first * steps[0], row, rows), steps, sizes, inputs, halves, room_at, factors[0], transposed, upstream
    )  # fmt: skip
    query, key, value, direction = inputs
    prepare_state(row, rows, values, results, (direction, direction_at, direction_step), state)
    clear(sums, ROWS * features)
    start, stop = keys_of_block(first, head[7], band)
    word_at = words_of_block(head[8], tile, first, sizes, band)
    place = place_of_block(head[5], block, sizes[0], sizes[1])
    begin, count, bias_at = start, 1, head[3] + first + band[2]
    while begin < stop and count > 0:
        begin, count = next_span(masks[2], word_at, begin, stop, SPAN)
        key_at, key_step, value_at, value_step = read_span(
            (head[1] + begin * steps[1], head[2] + begin * steps[2], count), steps, sizes, inputs, halves,
            room_at + ROWS * (features + values),
        )  # fmt: skip
        reach = reach_of_span(begin, first, band)
        multiply_rows(key, key_at, key_step, count, transposed, features, reach, scores)
        cap_scores(scores, count, cap)
        differentiate_cap(scores, count, cap, bends)
        add_masks(
            head, (first, rows, tile), begin, count, sizes, steps, band, masks, word_at, scores,
            offset_view(bends, ROWS * SPAN),
        )  # fmt: skip
        multiply_rows(value, value_at, value_step, count, upstream, values, reach, slopes)
        drop_pairs(slopes, count, place + begin, dropout)
        differentiate(scores, slopes, count, masks[0], bias_at - begin, state, factors[0])
        drop_pairs(scores, count, place + begin, dropout)
        multiply_each(slopes, bends, count, cap)
        add_to_keys(
            gradients, begin, count, sizes, (slopes, query, query_at, query_step),
            (scores, direction, direction_at, direction_step), rows, reach,
        )  # fmt: skip
        add_weighted_values(slopes, count, key, key_at, key_step, features, reach, sums)
        begin += count
    return write_query_gradient(rows, features, sums, offset_view(gradients[0], row * features))


@inlined(no_refcount=True)
def split(scratch, features, values):
    """Scratch memory for all that a block needs.

    Columns of queries and of gradients of outputs, scores of a span and their gradients, the gradient of the queries,
    the state of each query, and the derivative of the cap.
    """
    upstream = offset_view(scratch, ROWS * features)
    scores = offset_view(upstream, ROWS * values)
    slopes, sums = offset_view(scores, ROWS * SPAN), offset_view(scores, 2 * ROWS * SPAN)
    state, bends = offset_view(sums, ROWS * features), offset_view(sums, ROWS * (features + 2))
    return scratch, upstream, scores, slopes, sums, state, bends


@inlined(no_refcount=True)
def add_to_keys(gradients, begin, count, sizes, slopes, weights, rows, reach):
    """Add what a block's queries give to the gradients of a span's keys and values.

    slopes: gradients of the scores, and array, offset and step of the queries; weights: weights, and the same of the
    gradients of the outputs.
    """
    (key_sums, value_sums), at = gradients[1], gradients[2] + begin
    features, values = sizes[2], sizes[3]
    add_weighted_queries(
        weights[0], count, weights[1], weights[2], weights[3], rows, values, reach, offset_view(value_sums, at * values)
    )  # fmt: skip
    add_weighted_queries(
        slopes[0], count, slopes[1], slopes[2], slopes[3], rows, features, reach, offset_view(key_sums, at * features)
    )  # fmt: skip


@inlined(no_refcount=True)
def read_block(
    of_block, steps, sizes, inputs, halves, room_at, scale, transposed, upstream
):  # fmt: skip
    """Read the queries of a block and the gradients of its outputs, and write them as columns.

    of_block: offset of the queries, index of the first output, number of rows. Returns offset and step of both.
    """
    query_at, row, rows = of_block
    features, values = sizes[2], sizes[3]
    query_at, query_step = widened(
        halves[0], query_at, steps[0], rows, features, inputs[0], room_at
    )
    direction_at, direction_step = widened(
        halves[3], row * values, values, rows, values, inputs[3], room_at + ROWS * features
    )
    transpose_rows(inputs[0], query_at, query_step, rows, features, scale, transposed)
    one = type(scale)(1)
    transpose_rows(inputs[3], direction_at, direction_step, rows, values, one, upstream)
    return query_at, query_step, direction_at, direction_step


@inlined(no_refcount=True)
def read_span(of_span, steps, sizes, inputs, halves, room_at):
    """Read the keys and values of a span: offset and step of both.

    of_span: offset of the keys, offset of the values, their number.
    """
    key_at, value_at, count = of_span
    features, values = sizes[2], sizes[3]
    key_at, key_step = widened(halves[1], key_at, steps[1], count, features, inputs[1], room_at)
    value_at, value_step = widened(
        halves[2], value_at, steps[2], count, values, inputs[2], room_at + SPAN * features
    )
    return key_at, key_step, value_at, value_step


@inlined(no_refcount=True)
def prepare_state(row, rows, values, results, direction, state):
    """State holds, for each query, its logsumexp and the inner product of its output and the output's gradient.

    direction: array, offset and step of the gradients of the block's outputs.
    """
    output, logsumexp, products = results
    clear(state, 2 * ROWS)
    for r in range(rows):
        row_output = offset_view(output, (row + r) * values)
        row_gradient = offset_view(direction[0], direction[1] + r * direction[2])
        lanes = splat(logsumexp.dtype.type(0))
        for v in range(0, values, LANES):
            lanes = lanes + load(row_output, v) * load(row_gradient, v)
        total = reduce_sum(lanes)
        state[r], state[ROWS + r] = logsumexp[row + r], total
        if products.shape[0] > 0:
            products[row + r] = total


@inlined(no_refcount=True)
def differentiate(scores, slopes, count, distance_bias, bias_at, state, scale):
    """Scores become weights; gradients of the weights become gradients of the unscaled inner products.

    The bias of each distance is added to the scores: the entry of key k + 1 lies one before that of key k.
    """
    for j in range(0, ROWS, LANES):
        top, mean, factor = load(state, j), load(state, ROWS + j), splat(scale)
        for k in range(count):
            here = k * ROWS + j
            score = load(scores, here) + load(distance_bias, bias_at - k + j)
            weight = exp_below_one(score - top)
            store(scores, here, weight)
            store(slopes, here, weight * (load(slopes, here) - mean) * factor)


@inlined(no_refcount=True)
def differentiate_cap(scores, count, cap, bends):
    """The derivative of cap · tanh(x / cap) from its value, 1 − (value / cap)²; a cap of 0 is none."""
    if cap <= 0:
        return
    one = type(cap)(1)
    for i in range(0, count * ROWS, LANES):
        part = load(scores, i) * (one / cap)
        store(bends, i, splat(one) - part * part)


@inlined(no_refcount=True)
def multiply_each(slopes, bends, count, cap):
    """Multiply the gradients of capped scores by the derivative of the cap; a cap of 0 is none."""
    if cap <= 0:
        return
    for i in range(0, count * ROWS, LANES):
        store(slopes, i, load(slopes, i) * load(bends, i))


@inlined(no_refcount=True)
def add_weighted_queries(weights, count, source, at, step, rows, width, reach, result):
    """result[k, v] += Σ_q weights[k, q] source[q, v], over queries in reach of a group of keys."""
    for v in range(0, width, WIDTH):
        for k in range(0, count, GROUP):
            low, high = max(0, reach[0] + k), min(rows, reach[1] + k + GROUP)
            product_tile(
                (weights, k * ROWS + low, ROWS, 1), (source, at + low * step + v, step),
                (result, k * width + v, width), high - low, min(GROUP, count - k), False,
            )  # fmt: skip


@inlined(no_refcount=True)
def write_query_gradient(rows, features, sums, query_gradient):
    """Write the gradient of the block's queries; returns the sum of its numbers, by lane."""
    check = splat(sums.dtype.type(0))
    for i in range(0, rows * features, LANES):
        number = load(sums, i)
        store(query_gradient, i, number)
        check = check + number
    return check
