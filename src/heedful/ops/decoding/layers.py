# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""One step of all layers of a Transformer's decoder, for one token of each hypothesis, in one kernel.

Up to CHUNK rows go through all layers together. Weights lie in panels of PANEL columns, (panel, inputs, PANEL), so that
a product reads them in order. What is added to a product, bias and residual,
is where its result accumulates.

Keys and values of past tokens lie in slots, one for each token of each hypothesis, (slot, layer, 2, width), and are
never moved: `ancestors` says in which slot a row finds its token at a position. Keys of the memory are (sentence,
layer, head, feature, source), so that one vector holds the scores of sixteen source positions.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.jit.kernel import (
    exp_below_one,
    inlined,
    kernel,
    load,
    maximum,
    offset_view,
    product_4x64,
    product_8x16,
    product_row,
    reduce_max,
    reduce_sum,
    splat,
    store,
)
from heedful.ops.jit.source import LANES

CHUNK = 32
"""Most rows that go through the layers together: their states stay in the inner caches."""
PANEL = 64
GROUP = 8
"""Most rows of a sentence that meet its memory together."""
PLACES = 10
"""Offsets a layer has in the weights: three norms, then the maps query-key-value, own output, query, cross output,
widen and narrow, and the layer's end."""


@inlined(no_refcount=True)
def padded(size, unit):
    """A size, rounded up to whole units."""
    return (size + unit - 1) // unit * unit


@inlined(no_refcount=True)
def wide_step(sizes):
    """Numbers between rows of what is wider than a state: query, key and value, or hidden features."""
    return max(padded(3 * sizes[1], PANEL), padded(sizes[3], PANEL))


@inlined(no_refcount=True)
def normalize_rows(source, step, rows, width, epsilon, weights, target):
    """Layer normalization: target = (source - mean) / deviation · weight + bias; both may be the same rows."""
    for r in range(rows):
        at = r * step
        total = splat(source.dtype.type(0))
        for i in range(0, width, LANES):
            total = total + load(source, at + i)
        mean = reduce_sum(total) / source.dtype.type(width)
        squares = splat(source.dtype.type(0))
        for i in range(0, width, LANES):
            centred = load(source, at + i) - mean
            squares = squares + centred * centred
        variance = reduce_sum(squares) / source.dtype.type(width)
        factor = source.dtype.type(1.0 / math.sqrt(variance + epsilon))
        for i in range(0, width, LANES):
            scaled = (load(source, at + i) - mean) * factor
            store(target, at + i, scaled * load(weights, i) + load(weights, width + i))


@inlined(no_refcount=True)
def start_at_bias(bias, columns, rows, step, fresh, result):
    """Write the bias to the rows, or add it to what is there."""
    for r in range(rows):
        for c in range(0, columns, LANES):
            at = r * step + c
            if fresh:
                store(result, at, load(bias, c))
            else:
                store(result, at, load(result, at) + load(bias, c))


@inlined(no_refcount=True)
def multiply(left, left_step, rows, inputs, outputs, weights, fresh, result, step):
    """Compute left · weights + bias, or += where it is not `fresh`; the panels of weights are followed by the bias."""
    columns = padded(outputs, PANEL)
    start_at_bias(offset_view(weights, columns * inputs), columns, rows, step, fresh, result)
    for first in range(0, columns, PANEL):
        panel = weights, first * inputs, PANEL
        for r in range(0, rows, 4):
            tile = left, r * left_step, left_step, 1
            target = result, r * step + first, step
            if rows - r == 1:
                product_row(tile, panel, target, inputs, 1, False)
            else:
                product_4x64(tile, panel, target, inputs, min(4, rows - r), False)


@inlined(no_refcount=True)
def softmax_rows(scores, step, rows, count, scale, bias):
    """Scores to weights, in place: softmax(scale · score + bias), zeros from `count` to the end of its last vector."""
    end = padded(count, LANES)
    for r in range(rows):
        row = offset_view(scores, r * step)
        for i in range(count, end):
            row[i] = 0
        top = splat(row.dtype.type(-np.inf))
        for i in range(0, end, LANES):
            score = load(row, i) * scale + load(bias, i)
            store(row, i, score)
            top = maximum(score, top)
        best = reduce_max(top)
        total = splat(row.dtype.type(0))
        for i in range(0, end, LANES):
            share = exp_below_one(load(row, i) - best)
            store(row, i, share)
            total = total + share
        factor = row.dtype.type(1) / reduce_sum(total)
        for i in range(0, end, LANES):
            store(row, i, load(row, i) * factor)


@inlined(no_refcount=True)
def attend_past(mixed, past, slots, sizes, layer, own_slot, length, scores, output):
    """Store key and value of the row's token, and attend to all of its tokens: `mixed` holds query, key and value.

    `scores` begins with a row of the bias, which hides what lies beyond the tokens.
    """
    width, heads, layers = sizes[1], sizes[2], sizes[5]
    features, span = width // heads, padded(length + 1, LANES)
    own = offset_view(past, (own_slot * layers + layer) * 2 * width)
    for i in range(0, 2 * width, LANES):
        store(own, i, load(mixed, width + i))
    for i in range(span):
        scores[i] = 0 if i <= length else -np.inf
    weights = offset_view(scores, span)
    for p in range(length + 1):
        slot = own_slot if p == length else slots[p]
        key = offset_view(past, (slot * layers + layer) * 2 * width)
        for head in range(heads):
            total = splat(mixed.dtype.type(0))
            for i in range(head * features, (head + 1) * features, LANES):
                total = total + load(mixed, i) * load(key, i)
            weights[head * span + p] = reduce_sum(total)
    scale = mixed.dtype.type(1 / math.sqrt(features))
    softmax_rows(weights, span, heads, length + 1, scale, scores)
    for head in range(heads):
        for i in range(head * features, (head + 1) * features, LANES):
            total = splat(mixed.dtype.type(0))
            for p in range(length + 1):
                slot = own_slot if p == length else slots[p]
                value = ((slot * layers + layer) * 2 + 1) * width + i
                total = total + load(past, value) * weights[head * span + p]
            store(output, i, total)


@inlined(no_refcount=True)
def attend_memory(query, step, rows, sizes, layer, sentence, memory, scores, looked, output):
    """Attend from the rows of one sentence to its memory: keys, values and bias."""
    width, heads, source, layers = sizes[1], sizes[2], sizes[4], sizes[5]
    features, span = width // heads, padded(source, LANES)
    place = sentence * layers + layer
    bias = offset_view(memory[2], sentence * span)
    values = offset_view(memory[1], place * source * width)
    scale = query.dtype.type(1 / math.sqrt(features))
    for head in range(heads):
        keys = offset_view(memory[0], (place * heads + head) * features * span)
        first = head * features
        for c in range(0, span, LANES):
            left, right = (query, first, step, 1), (keys, c, span)
            product_8x16(left, right, (scores, c, span), features, rows, True)
        softmax_rows(scores, span, rows, source, scale, bias)
        for i in range(first, first + features, LANES):
            left, right = (scores, 0, span, 1), (values, i, width)
            product_8x16(left, right, (output, i, step), source, rows, True)
        if layer == sizes[9]:
            for r in range(rows):
                for j in range(source):
                    looked[(r * heads + head) * source + j] = scores[r * span + j]


@inlined(no_refcount=True)
def look_back(layer, first, rows, sizes, source, weights, at, past, ancestors, space):
    """Add attention to the tokens of each row to its states."""
    width, length, step = sizes[1], sizes[7], padded(sizes[1], PANEL)
    wide = wide_step(sizes)
    multiply(
        source, step, rows, width, 3 * width, offset_view(weights, at[3]), True, space[2], wide
    )
    for r in range(rows):
        row = first + r
        attend_past(
            offset_view(space[2], r * wide), past, offset_view(ancestors, row * length), sizes, layer,
            sizes[8] + row, length, space[4], offset_view(space[3], r * step),
        )  # fmt: skip
    output = offset_view(weights, at[4])
    multiply(space[3], step, rows, width, width, output, False, space[0], step)


@inlined(no_refcount=True)
def look_at_memory(
    layer, first, rows, sizes, source, weights, at, sentences, memory, looked, space
):
    """Add attention to the memory to the states; rows of one sentence that stand together meet it together."""
    width, step = sizes[1], padded(sizes[1], PANEL)
    multiply(source, step, rows, width, width, offset_view(weights, at[5]), True, space[2], step)
    r = 0
    while r < rows:
        sentence, count = sentences[first + r], 1
        while count < GROUP and r + count < rows and sentences[first + r + count] == sentence:
            count += 1
        attend_memory(
            offset_view(space[2], r * step), step, count, sizes, layer, sentence, memory, space[4],
            offset_view(looked, (first + r) * sizes[2] * sizes[4]), offset_view(space[3], r * step),
        )  # fmt: skip
        r += count
    output = offset_view(weights, at[6])
    multiply(space[3], step, rows, width, width, output, False, space[0], step)


@inlined(no_refcount=True)
def feed_forward(rows, sizes, source, weights, at, space):
    """Add the feed-forward network to the states."""
    width, hidden, step, wide = sizes[1], sizes[3], padded(sizes[1], PANEL), wide_step(sizes)
    multiply(source, step, rows, width, hidden, offset_view(weights, at[7]), True, space[2], wide)
    nothing = splat(space[2].dtype.type(0))
    for i in range(0, rows * wide, LANES):
        store(space[2], i, maximum(nothing, load(space[2], i)))
    narrow = offset_view(weights, at[8])
    multiply(space[2], wide, rows, hidden, width, narrow, False, space[0], step)


@inlined(no_refcount=True)
def run_layer(
    layer,
    first,
    rows,
    sizes,
    epsilon,
    weights,
    at,
    past,
    ancestors,
    sentences,
    memory,
    looked,
    space,
):
    """Run one layer on rows `first` and so on, whose states are the first of `space`; `at` are its offsets."""
    width, step, is_pre = sizes[1], padded(sizes[1], PANEL), sizes[6] == 1
    states = space[0]
    source = space[1] if is_pre else states
    if is_pre:
        normalize_rows(states, step, rows, width, epsilon, offset_view(weights, at[0]), source)
    look_back(layer, first, rows, sizes, source, weights, at, past, ancestors, space)
    norm = offset_view(weights, at[1] if is_pre else at[0])
    normalize_rows(states, step, rows, width, epsilon, norm, source)
    look_at_memory(layer, first, rows, sizes, source, weights, at, sentences, memory, looked, space)
    norm = offset_view(weights, at[2] if is_pre else at[1])
    normalize_rows(states, step, rows, width, epsilon, norm, source)
    feed_forward(rows, sizes, source, weights, at, space)
    if not is_pre:
        normalize_rows(states, step, rows, width, epsilon, offset_view(weights, at[2]), states)


@kernel(no_refcount=True)
def decoder_step(
    part, parts, inputs, sizes, epsilon, weights, places, past, ancestors, sentences, keys, values, bias, looked,
    output, scratch,
):  # fmt: skip
    """Write the states of one token of each row.

    sizes: rows, width, heads, hidden features, source, layers, whether norms come first, past tokens, first free slot,
    and the layer whose attention to the memory is written to `looked` (row, head, source), or -1. `weights` are those
    of the layers and, for norms first, the last norm; `places` are the offsets of each layer's parts.
    """
    rows, width = sizes[0], sizes[1]
    step = padded(width, PANEL)
    wide = wide_step(sizes)
    chunks = (rows + CHUNK - 1) // CHUNK
    own = offset_view(scratch, part * (scratch.shape[0] // parts))
    inner = offset_view(own, CHUNK * step)
    attended = offset_view(inner, CHUNK * step)
    mixed = offset_view(attended, CHUNK * step)
    space = own, inner, mixed, attended, offset_view(mixed, CHUNK * wide)
    for chunk in range(chunks * part // parts, chunks * (part + 1) // parts):
        first = chunk * CHUNK
        count = min(CHUNK, rows - first)
        for r in range(count):
            for i in range(0, width, LANES):
                store(own, r * step + i, load(inputs, (first + r) * width + i))
        for layer in range(sizes[5]):
            run_layer(
                layer, first, count, sizes, epsilon, weights, offset_view(places, layer * PLACES), past, ancestors,
                sentences, (keys, values, bias), looked, space,
            )  # fmt: skip
        if sizes[6] == 1:
            last = offset_view(weights, places[sizes[5] * PLACES - 1])
            normalize_rows(own, step, count, width, epsilon, last, own)
        for r in range(count):
            for i in range(0, width, LANES):
                store(output, (first + r) * width + i, load(own, r * step + i))


def step_space(width: int, heads: int, hidden: int, source: int, length: int) -> int:
    """Return the scratch numbers that each part of the work needs."""
    step = -(-width // PANEL) * PANEL
    wide = max(-(-3 * width // PANEL), -(-hidden // PANEL)) * PANEL
    past = (heads + 1) * (-(-(length + 1) // LANES) * LANES)
    memory = GROUP * (-(-source // LANES) * LANES)
    return CHUNK * (3 * step + wide) + max(past, memory)
