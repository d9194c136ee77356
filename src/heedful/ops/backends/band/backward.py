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
    cap_scores,
    clear,
    keys_of_block,
    multiply_rows,
    transpose_rows,
    words_of_block,
)
from heedful.ops.backends.band.pair_bias import SPACE
from heedful.ops.backends.band.shape import GROUP, LANES, ROWS, WIDTH
from heedful.ops.backends.band.words import next_span
from heedful.ops.jit.kernel import (
    exp_or_zero,
    inlined,
    kernel,
    load,
    offset_view,
    product_tile,
    splat,
    store,
)

SPAN = 160
"""Largest number of keys in a span: its scores and their gradients stay in the inner caches."""


def backward_space(features: int, values: int) -> int:
    """Scratch numbers that each part of the work needs."""
    return ROWS * (2 * features + values + 3 * SPAN + 2) + SPACE


@kernel(no_refcount=True)
def band_backward(
    part, parts, grain, first_block, blocks, head_table, queries, keys, features, values, tile_keys,
    query_step, key_step, value_step, bias_step, left, right, scale, base, cap,
    seed, limit, kept_scale,
    query, key, value, distance_bias, tiles, words, pair_bias, output, logsumexp, output_gradient,
    query_gradient, key_gradient, value_gradient, scratch,
):  # fmt: skip
    """Add up gradients for one part of the blocks of all heads.

    `tiles`, `words` and `pair_bias` are empty where there are none.
    """
    sizes = queries, keys, features, values, tile_keys
    steps = query_step, key_step, value_step, bias_step
    heads = head_table.shape[0] // COLUMNS
    total = heads * blocks // grain
    begin, end = total * part // parts * grain, total * (part + 1) // parts * grain
    part_scratch = offset_view(scratch, part * (scratch.shape[0] // parts))
    # Each part adds to its own copy of the gradients of keys and values, unless no two parts share a key head.
    copy = 0 if key_gradient.shape[0] == 1 else part
    for item in range(begin, end):
        head, tile = item // blocks, item % blocks
        backward_block(
            offset_view(head_table, COLUMNS * head), first_block + tile, tile, sizes, steps,
            (left, right, base), (query.dtype.type(scale), query.dtype.type(cap)),
            (distance_bias, tiles, words, pair_bias), (seed, limit, kept_scale),
            (query, key, value),
            (output, logsumexp, output_gradient),
            (query_gradient, key_gradient[copy], value_gradient[copy]),
            part_scratch,
        )  # fmt: skip


@inlined(no_refcount=True)
def backward_block(
    head,
    block,
    tile,
    sizes,
    steps,
    band,
    factors,
    masks,
    dropout,
    inputs,
    results,
    gradients,
    scratch,
):
    """Write the gradient of one block's queries and add to the gradients of its keys and values."""
    features, values, first, cap = sizes[2], sizes[3], block * ROWS, factors[1]
    rows = min(ROWS, sizes[0] - first)
    row, query_at = head[5] * sizes[0] + first, head[0] + first * steps[0]
    transposed, upstream = scratch, offset_view(scratch, ROWS * features)
    scores = offset_view(upstream, ROWS * values)
    slopes, sums = offset_view(scores, ROWS * SPAN), offset_view(scores, 2 * ROWS * SPAN)
    state, bends = offset_view(sums, ROWS * features), offset_view(sums, ROWS * (features + 2))
    transpose_rows(inputs[0], query_at, steps[0], rows, features, factors[0], transposed)
    transpose_rows(results[2], row * values, values, rows, values, type(cap)(1), upstream)
    prepare_state(row, rows, values, results[0], results[1], results[2], state)
    clear(sums, ROWS * features)
    start, stop = keys_of_block(first, head[7], band)
    word_at = words_of_block(head[8], tile, first, sizes, band)
    place = place_of_block(head[5], block, sizes[0], sizes[1])
    begin, count = start, 1
    while begin < stop and count > 0:
        begin, count = next_span(masks[2], word_at, begin, stop, SPAN)
        value_at, key_at = head[2] + begin * steps[2], head[1] + begin * steps[1]
        multiply_rows(inputs[1], key_at, steps[1], count, transposed, features, scores)
        cap_scores(scores, count, cap)
        differentiate_cap(scores, count, cap, bends)
        add_masks(
            head, (first, rows, tile), begin, count, sizes, steps, band, masks, word_at, scores,
            offset_view(bends, ROWS * SPAN),
        )  # fmt: skip
        multiply_rows(inputs[2], value_at, steps[2], count, upstream, values, slopes)
        drop_pairs(slopes, count, place + begin, dropout)
        differentiate(scores, slopes, count, state, factors[0])
        drop_pairs(scores, count, place + begin, dropout)
        multiply_each(slopes, bends, count, cap)
        at = head[6] * sizes[1] + begin
        add_weighted_queries(
            scores, count, results[2], row * values, values, rows, values, offset_view(gradients[2], at * values)
        )  # fmt: skip
        add_weighted_queries(
            slopes, count, inputs[0], query_at, steps[0], rows, features, offset_view(gradients[1], at * features)
        )  # fmt: skip
        add_weighted_values(slopes, count, inputs[1], key_at, steps[1], features, sums)
        begin += count
    write_query_gradient(rows, features, sums, offset_view(gradients[0], row * features))


@inlined(no_refcount=True)
def prepare_state(row, rows, values, output, logsumexp, output_gradient, state):
    """State holds, for each query, its logsumexp and the inner product of its output and the output's gradient."""
    clear(state, 2 * ROWS)
    for r in range(rows):
        row_output = offset_view(output, (row + r) * values)
        row_gradient = offset_view(output_gradient, (row + r) * values)
        total = output.dtype.type(0)
        for v in range(values):
            total += row_output[v] * row_gradient[v]
        state[r], state[ROWS + r] = logsumexp[row + r], total


@inlined(no_refcount=True)
def differentiate(scores, slopes, count, state, scale):
    """Scores become weights; gradients of the weights become gradients of the unscaled inner products."""
    for j in range(0, ROWS, LANES):
        top, mean, factor = load(state, j), load(state, ROWS + j), splat(scale)
        for i in range(j, count * ROWS + j, ROWS):
            weight = exp_or_zero(load(scores, i) - top)
            store(scores, i, weight)
            store(slopes, i, weight * (load(slopes, i) - mean) * factor)


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
def add_weighted_queries(weights, count, source, at, step, rows, width, result):
    """result[k, v] += Σ_q weights[k, q] source[q, v]."""
    for v in range(0, width, WIDTH):
        for k in range(0, count, GROUP):
            product_tile(
                (weights, k * ROWS, ROWS, 1), (source, at + v, step), (result, k * width + v, width),
                rows, min(GROUP, count - k), False,
            )  # fmt: skip


@inlined(no_refcount=True)
def write_query_gradient(rows, features, sums, query_gradient):
    """Write the gradient of the block's queries."""
    for i in range(0, rows * features, LANES):
        store(query_gradient, i, load(sums, i))
