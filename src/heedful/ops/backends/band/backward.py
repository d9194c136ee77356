# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Windowed softmax attention by inner products, backward: scores computed again, block by block as forward."""

from __future__ import annotations

from heedful.ops.backends.band.forward import (
    COLUMNS,
    GROUP,
    LANES,
    ROWS,
    WIDTH,
    add_near,
    add_tile,
    clear,
    keys_of_block,
    mix,
    multiply_rows,
    turn_rows,
)
from heedful.ops.jit.kernel import (
    inlined,
    kernel,
    load,
    product_tile,
    spread,
    store,
    stretch,
    weight_of,
)

SPAN = 160
"""Keys of a stretch at most: two rectangles of theirs stay in the inner caches."""


def backward_space(features: int, values: int) -> int:
    """How many numbers of work space a part needs."""
    return ROWS * (2 * features + values + 2 * SPAN + 2)


@kernel(borrows=True)
def band_backward(
    part, parts, grain, first_block, blocks, places, queries, keys, features, values, tile_keys,
    query_step, key_step, value_step, left, right, scale, base,
    query, key, value, near, added, output, logsumexp, direction, to_query, to_key, to_value, spaces,
):  # fmt: skip
    """Add up gradients for one part of the blocks of all heads."""
    sizes, steps = (queries, keys, features, values, tile_keys), (query_step, key_step, value_step)
    units = places.shape[0] // COLUMNS
    total = units * blocks // grain
    begin, end = total * part // parts * grain, total * (part + 1) // parts * grain
    space = stretch(spaces, part * (spaces.shape[0] // parts))
    # Each part adds up gradients of keys and values of its own, unless no two meet.
    copy = 0 if to_key.shape[0] == 1 else part
    for item in range(begin, end):
        unit, number = item // blocks, item % blocks
        backward_block(
            stretch(places, COLUMNS * unit), first_block + number, number, sizes, steps,
            (left, right, base), query.dtype.type(scale), (query, key, value, near, added),
            (output, logsumexp, direction), (to_query, to_key[copy], to_value[copy]), space,
        )  # fmt: skip


@inlined(borrows=True)
def backward_block(
    place, block, number, sizes, steps, band, scale, held, after, wanted, space
):  # fmt: skip
    """Gradient of one block's queries, and what it adds to those of its keys and values."""
    features, values = sizes[2], sizes[3]
    first = block * ROWS
    rows = min(ROWS, sizes[0] - first)
    row, query_at = place[5] * sizes[0] + first, place[0] + first * steps[0]
    turned, upstream = space, stretch(space, ROWS * features)
    scores = stretch(upstream, ROWS * values)
    slopes, total = stretch(scores, ROWS * SPAN), stretch(scores, 2 * ROWS * SPAN)
    state = stretch(total, ROWS * features)
    turn_rows(held[0], query_at, steps[0], rows, features, scale, turned)
    turn_rows(after[2], row * values, values, rows, values, held[0].dtype.type(1), upstream)
    prepare_state(row, rows, values, after[0], after[1], after[2], state)
    clear(total, ROWS * features)
    start, stop = keys_of_block(first, place[7], band)
    for begin in range(start, stop, SPAN):
        count = min(SPAN, stop - begin)
        at = place[4] + (number * sizes[4] + begin - (first - band[0])) * ROWS
        near_at = place[3] + first - begin + band[2]
        scores_again(place, begin, count, near_at, at, features, steps[1], held, turned, scores)
        value_at, key_at = place[2] + begin * steps[2], place[1] + begin * steps[1]
        multiply_rows(held[2], value_at, steps[2], count, upstream, values, slopes)
        differentiate(scores, slopes, count, state, scale)
        at = place[6] * sizes[1] + begin
        to_key, to_value = stretch(wanted[1], at * features), stretch(wanted[2], at * values)
        add_to_keys(scores, count, after[2], row * values, values, rows, values, to_value)
        add_to_keys(slopes, count, held[0], query_at, steps[0], rows, features, to_key)
        mix(slopes, count, held[1], key_at, steps[1], features, total)
    hand_out(rows, features, total, stretch(wanted[0], row * features))


@inlined(borrows=True)
def scores_again(place, begin, count, near_at, added_at, features, step, held, turned, scores):
    """Scores of a block of queries and a stretch of keys, as forward."""
    multiply_rows(held[1], place[1] + begin * step, step, count, turned, features, scores)
    add_near(scores, count, held[3], near_at)
    if held[4].shape[0] > 0:
        add_tile(scores, count, stretch(held[4], added_at))


@inlined(borrows=True)
def prepare_state(row, rows, values, output, logsumexp, direction, state):
    """Of each query the logarithm of its sum of exponentials, and output times gradient."""
    clear(state, 2 * ROWS)
    for r in range(rows):
        ours, theirs = stretch(output, (row + r) * values), stretch(direction, (row + r) * values)
        total = output.dtype.type(0)
        for v in range(values):
            total += ours[v] * theirs[v]
        state[r], state[ROWS + r] = logsumexp[row + r], total


@inlined(borrows=True)
def differentiate(scores, slopes, count, state, scale):
    """Scores become weights, and gradients of weights become gradients of products."""
    for j in range(0, ROWS, LANES):
        top, mean, factor = load(state, j), load(state, ROWS + j), spread(scale)
        for i in range(j, count * ROWS + j, ROWS):
            weight = weight_of(load(scores, i) - top)
            store(scores, i, weight)
            store(slopes, i, weight * (load(slopes, i) - mean) * factor)


@inlined(borrows=True)
def add_to_keys(weights, count, source, at, step, rows, width, into):
    """into[k, v] += Σ_q weights[k, q] source[q, v]."""
    for v in range(0, width, WIDTH):
        for k in range(0, count, GROUP):
            product_tile(
                (weights, k * ROWS, ROWS, 1), (source, at + v, step), (into, k * width + v, width),
                rows, min(GROUP, count - k), False,
            )  # fmt: skip


@inlined(borrows=True)
def hand_out(rows, features, total, to_query):
    """Write the gradient of the queries there are."""
    for i in range(0, rows * features, LANES):
        store(to_query, i, load(total, i))
