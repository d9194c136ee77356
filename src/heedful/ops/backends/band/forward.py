# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Windowed softmax attention by inner products, forward: a block of queries along the diagonal after the other.

Scores stand transposed, (key, query): a row of them is a key's, with the queries of the block in two vectors. Highest
score and sum of a query are then taken without looking across a vector, and both products have rows to load as they
lie in memory. What a mask or bias of distance adds is one list of numbers, read from a place that moves with key and
query; minus infinity in it hides.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.jit.kernel import (
    higher_of,
    inlined,
    kernel,
    load,
    product_tile,
    spread,
    store,
    stretch,
    turn,
    weight_of,
)

LANES = 16
ROWS = 32
"""Queries of a block: two vectors."""
GROUP, WIDTH = 8, 32
"""Rows and columns of the rectangles of products whose sums stay in registers; features are made up to whole widths."""
SPAN = 320
"""Keys of a stretch at most: their scores stay in the inner caches."""
COLUMNS = 8
"""What is told of each head of queries: where its query, key and value, what distance adds and what else is added begin
in memory; which it is among heads of queries, and among heads of keys; how many keys it may see."""


def forward_space(features: int, values: int) -> int:
    """How many numbers of work space a part needs."""
    return ROWS * (features + SPAN + values + 4)


@kernel(borrows=True)
def band_forward(
    part, parts, grain, first_block, blocks, places, queries, keys, features, values, tile_keys,
    query_step, key_step, value_step, left, right, scale, base,
    query, key, value, near, added, output, logsumexp, checks, spaces,
):  # fmt: skip
    """Attend for one part of the blocks of all heads."""
    sizes, steps = (queries, keys, features, values, tile_keys), (query_step, key_step, value_step)
    units = places.shape[0] // COLUMNS
    total = units * blocks // grain
    begin, end = total * part // parts * grain, total * (part + 1) // parts * grain
    zero = query.dtype.type(0)
    check = spread(zero)
    for item in range(begin, end):
        unit, number = item // blocks, item % blocks
        check = check + forward_block(
            stretch(places, COLUMNS * unit), first_block + number, number, sizes, steps, (left, right, base),
            query.dtype.type(scale), (query, key, value, near, added), output, logsumexp,
            stretch(spaces, part * (spaces.shape[0] // parts)),
        )  # fmt: skip
    store(checks, part * LANES, check)


@inlined(borrows=True)
def keys_of_block(first, keys, band):
    """First and last (exclusive) key that any of a block of queries may see."""
    start = max(0, first - band[0])
    return start, max(start, min(keys, first + ROWS + band[1]))


@inlined(borrows=True)
def forward_block(
    place, block, number, sizes, steps, band, scale, held, output, logsumexp, space
):  # fmt: skip
    """Output of one block of one head; returns the sum of its numbers by lanes."""
    query, key, value, near, added = held
    features, values = sizes[2], sizes[3]
    first = block * ROWS
    rows = min(ROWS, sizes[0] - first)
    turned, scores = space, stretch(space, ROWS * features)
    mean, state = stretch(scores, ROWS * SPAN), stretch(scores, ROWS * (SPAN + values))
    turn_rows(query, place[0] + first * steps[0], steps[0], rows, features, scale, turned)
    start_state(state)
    start, stop = keys_of_block(first, place[7], band)
    spans = (stop - start + SPAN - 1) // SPAN
    size = 1 if spans == 0 else ((stop - start + spans - 1) // spans + GROUP - 1) // GROUP * GROUP
    clear(mean, ROWS * values)
    for begin in range(start, stop, size):
        count = min(size, stop - begin)
        multiply_rows(key, place[1] + begin * steps[1], steps[1], count, turned, features, scores)
        add_near(scores, count, near, place[3] + first - begin + band[2])
        if added.shape[0] > 0:
            at = place[4] + (number * sizes[4] + begin - (first - band[0])) * ROWS
            add_tile(scores, count, stretch(added, at))
        soften(scores, count, state)
        if begin > start:
            rescale(mean, values, stretch(state, 2 * ROWS))
        mix(scores, count, value, place[2] + begin * steps[2], steps[2], values, mean)
    unit_row = place[5] * sizes[0] + first
    return finish(
        rows, values, state, mean, stretch(output, unit_row * values), stretch(logsumexp, unit_row)
    )


@inlined(borrows=True)
def turn_rows(source, at, step, rows, features, scale, turned):
    """Rows of features as features of rows, scaled; zeros for rows that there are not."""
    if rows == ROWS:
        for f in range(0, features, LANES):
            for row in range(0, ROWS, LANES):
                turn(source, at + row * step + f, step, turned, f * ROWS + row, ROWS)
        for i in range(0, ROWS * features, LANES):
            store(turned, i, load(turned, i) * scale)
    else:
        clear(turned, ROWS * features)
        for row in range(rows):
            ours, theirs = stretch(source, at + row * step), stretch(turned, row)
            for f in range(features):
                theirs[f * ROWS] = ours[f] * scale


@inlined(borrows=True)
def clear(array, count):
    """Zeros."""
    zero = array.dtype.type(0)
    for i in range(count):
        array[i] = zero


@inlined(borrows=True)
def start_state(state):
    """Highest scores, sums, and factors of what was summed before."""
    for i in range(ROWS):
        state[i] = -np.inf
        state[ROWS + i] = 0


@inlined(borrows=True)
def multiply_rows(source, at, step, count, turned, features, into):
    """into[k, q] = Σ_f source[k, f] turned[f, q] for some rows of the source."""
    for k in range(0, count, GROUP):
        product_tile(
            (source, at + k * step, step, 1), (turned, 0, ROWS), (into, k * ROWS, ROWS),
            features, min(GROUP, count - k), True,
        )  # fmt: skip


@inlined(borrows=True)
def add_near(scores, count, near, at):
    """Add what follows from distance."""
    for k in range(count):
        here = k * ROWS
        store(scores, here, load(scores, here) + load(near, at - k))
        store(scores, here + LANES, load(scores, here + LANES) + load(near, at - k + LANES))


@inlined(borrows=True)
def add_tile(scores, count, added):
    """Add what masks and biases of other kinds say of these pairs."""
    for i in range(0, count * ROWS, LANES):
        store(scores, i, load(scores, i) + load(added, i))


@inlined(borrows=True)
def soften(scores, count, state):
    """Exponentials below the highest score so far, their sums, and the factor of what was summed before."""
    top, other = load(state, 0), load(state, LANES)
    for k in range(count):
        top = higher_of(load(scores, k * ROWS), top)
        other = higher_of(load(scores, k * ROWS + LANES), other)
    store(state, 3 * ROWS, top)
    store(state, 3 * ROWS + LANES, other)
    for i in range(ROWS):
        before, now = state[i], state[3 * ROWS + i]
        state[i] = now
        now = state.dtype.type(0) if now == -np.inf else now
        state[3 * ROWS + i] = now
        state[2 * ROWS + i] = before - now
    for i in range(0, ROWS, LANES):
        factor = weight_of(load(state, 2 * ROWS + i))
        store(state, 2 * ROWS + i, factor)
        store(state, ROWS + i, factor * load(state, ROWS + i))
    top, other = load(state, 3 * ROWS), load(state, 3 * ROWS + LANES)
    total, rest = load(state, ROWS), load(state, ROWS + LANES)
    for k in range(count):
        here = k * ROWS
        weight = weight_of(load(scores, here) - top)
        store(scores, here, weight)
        total = total + weight
        weight = weight_of(load(scores, here + LANES) - other)
        store(scores, here + LANES, weight)
        rest = rest + weight
    store(state, ROWS, total)
    store(state, ROWS + LANES, rest)


@inlined(borrows=True)
def rescale(mean, values, factors):
    """Bring what was summed before to the new highest score."""
    for row in range(ROWS):
        ours, factor = stretch(mean, row * values), factors[row]
        for v in range(values):
            ours[v] *= factor


@inlined(borrows=True)
def mix(weights, count, source, at, step, width, into):
    """into[q, v] += Σ_k weights[k, q] source[k, v]."""
    for v in range(0, width, WIDTH):
        for q in range(0, ROWS, GROUP):
            product_tile(
                (weights, q, 1, ROWS), (source, at + v, step), (into, q * width + v, width),
                count, GROUP, False,
            )  # fmt: skip


@inlined(borrows=True)
def finish(rows, values, state, mean, output, logsumexp):
    """Divide by the sums; a row that sees nothing stays 0."""
    one, zero = output.dtype.type(1), output.dtype.type(0)
    check = spread(zero)
    for row in range(rows):
        top, total = state[row], state[ROWS + row]
        nothing = total == zero
        part = spread(zero if nothing else one / total)
        logsumexp[row] = zero if nothing else top + math.log(total)
        for v in range(0, values, LANES):
            result = load(mean, row * values + v) * part
            store(output, row * values + v, result)
            check = check + result
    return check
