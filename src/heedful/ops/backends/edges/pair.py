# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""What one edge and one head do: helpers of the kernels for attention on a graph.

All feature arrays are flat, a node after the other and its heads side by side, so that an edge gathers one stretch
of memory; offsets say where a head of a node begins. `width` is how many features a head has. Kernels know it when
they are compiled (see `edges_forward`), so the loops below unroll.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.backends.additive.scores_forward import LANES
from heedful.ops.jit.exponential import LOWEST, exponential
from heedful.ops.jit.kernel import inlined, prefetch, stretch

DOT, LEAKY_RELU, TANH, TANH_OF_EXPONENTIALS = 0, 1, 2, 3
"""Ways to combine a query and a key: Σqk, Σv·LeakyReLU(q + k), Σv·tanh(q + k), and the latter from e^2q and e^2k."""
SUMS = frozenset({"contract", "reassoc", "nsz"})
"""Sums may be reordered; a division stays a division, for an estimate of 1/∞ would be refined to NaN."""
AHEAD = 16
"""How many edges before its turn a node's row is asked for from memory: they lie anywhere."""
BLOCK = 32
"""Edges of a node that are scored, normalized and mixed at a time; their rows stay in the inner cache meanwhile."""
LINE = 64
"""Bytes of a cache line."""


@inlined(borrows=True)
def ask_for(array, begin, size):
    """Ask for `size` numbers from `begin` on."""
    for place in range(begin, begin + size, LINE // array.itemsize):
        prefetch(array, place)


@inlined(borrows=True)
def share_of_rows(start, part, parts):
    """The rows of one part: as many edges and rows together as every other part has."""
    rows = start.shape[0] - 1
    whole = start[rows] + rows
    return (
        first_row(start, whole * part // parts),
        first_row(start, whole * (part + 1) // parts),
    )


@inlined(borrows=True)
def first_row(start, wanted):
    """The first row with at least `wanted` edges and rows before it."""
    low, high = 0, start.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if start[middle] + middle < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@inlined(borrows=True)
def row_at(base, place, keys, whole, offset):
    """Where the features, from `offset` on, of the key of the edge at a place are."""
    return (base + np.int64(stretch(keys, place)[0])) * whole + offset


@inlined(borrows=True)
def ask_for_block(array, base, first, count, keys, whole):
    """Ask for the rows of as many edges, `AHEAD` places on."""
    last = keys.shape[0] - 1
    for e in range(count):
        ahead = base + np.int64(stretch(keys, min(first + e + AHEAD, last))[0])
        ask_for(array, ahead * whole, whole)


@inlined(fastmath=SUMS, borrows=True)
def score_head(h, base, first, count, keys, sizes, how, query, key, vector, scores):
    """Scores of one head of some edges, whose keys lie anywhere, or were added to their edges' features."""
    _, _, _, heads, width, _, extra = sizes
    kind, slope = how[0], how[1]
    whole = heads * width
    ours, weights = stretch(query, h * width), stretch(vector, h * width)
    # an integer would widen float32 to float64
    zero, one = query.dtype.type(0), query.dtype.type(1)
    for e in range(count):
        if extra > 0:
            theirs = stretch(key, e * whole + h * width)
        else:
            theirs = stretch(key, row_at(base, first + e, keys, whole, h * width))
        total = zero
        if kind == DOT:
            for c in range(width):
                total += ours[c] * theirs[c]
        elif kind == LEAKY_RELU:
            for c in range(width):
                hidden = ours[c] + theirs[c]
                total += weights[c] * (hidden if hidden > 0 else hidden * slope)
        elif kind == TANH:
            for c in range(width):
                total += weights[c] * math.tanh(ours[c] + theirs[c])
        else:
            for c in range(width):
                rest = one / (one + ours[c] * theirs[c])
                total += weights[c] * (one - rest - rest)
        scores[e] = total


@inlined(borrows=True)
def raise_scores(scores, count, top):
    """Put e^(score - top) in place of each score."""
    padded = (count + LANES - 1) // LANES * LANES
    for e in range(count, padded):
        scores[e] = -np.inf
    if scores.itemsize > 4:
        for e in range(count):
            scores[e] = math.exp(scores[e] - top)
    else:
        for e in range(padded):
            below = np.float32(scores[e] - top)
            weight = exponential(below)
            scores[e] = np.float32(0) if below < LOWEST else weight


@inlined(fastmath=SUMS, borrows=True)
def head_gradient(h, base, first, count, keys, sizes, how, changes, given, sums):
    """Add what changes of the scores of one head of some edges ask of query, key and vector."""
    _, _, _, heads, width, _, extra = sizes
    (kind, slope, _, guarded), (query, key, vector) = how[:4], given
    whole, one = heads * width, query.dtype.type(1)
    ours, weights = stretch(query, h * width), stretch(vector, h * width)
    dours, dweights = stretch(sums[0], h * width), stretch(sums[2], h * width)
    for e in range(count):
        change = changes[e]
        if guarded and change == 0:
            continue
        if extra > 0:
            place = e * whole + h * width
        else:
            place = row_at(base, first + e, keys, whole, h * width)
        theirs, dtheirs = stretch(key, place), stretch(sums[1], place)
        if kind == DOT:
            for c in range(width):
                dours[c] += change * theirs[c]
                dtheirs[c] += change * ours[c]
        elif kind == LEAKY_RELU:
            for c in range(width):
                hidden = ours[c] + theirs[c]
                inner = change * weights[c] * (one if hidden > 0 else slope)
                dweights[c] += change * (hidden if hidden > 0 else hidden * slope)
                dours[c] += inner
                dtheirs[c] += inner
        else:
            for c in range(width):
                if kind == TANH:
                    bent = math.tanh(ours[c] + theirs[c])
                    steepness = one - bent * bent
                else:
                    rest = one / (one + ours[c] * theirs[c])
                    bent = one - rest - rest
                    steepness = (one + bent) * (rest + rest)
                inner = change * weights[c] * steepness
                dweights[c] += change * bent
                dours[c] += inner
                dtheirs[c] += inner


@inlined(borrows=True)
def mix_head(h, base, first, count, keys, sizes, how, value, projected, weights, mean):
    """Add the values of one head of some edges, weighted."""
    heads, mixed = sizes[3], sizes[5]
    theirs = stretch(mean, h * mixed)
    for e in range(count):
        weight = weights[e]
        if how[3] and weight == 0:
            continue
        ours = stretch(value, row_at(base, first + e, keys, heads * mixed, h * mixed))
        for c in range(mixed):
            theirs[c] += weight * ours[c]
        if how[2]:
            added = stretch(projected, (e * heads + h) * mixed)
            for c in range(mixed):
                theirs[c] += weight * added[c]


@inlined(fastmath=SUMS, borrows=True)
def reach_head(h, base, first, count, keys, sizes, how, value, projected, direction, reached):
    """Inner products of the output's gradient and the values of one head of some edges."""
    heads, mixed = sizes[3], sizes[5]
    ours = stretch(direction, h * mixed)
    for e in range(count):
        theirs = stretch(value, row_at(base, first + e, keys, heads * mixed, h * mixed))
        total = direction.dtype.type(0)
        for c in range(mixed):
            total += ours[c] * theirs[c]
        if how[2]:
            theirs = stretch(projected, (e * heads + h) * mixed)
            for c in range(mixed):
                total += ours[c] * theirs[c]
        reached[e] = total


@inlined(borrows=True)
def spread_head(h, base, first, count, keys, sizes, how, weights, direction, dvalue):
    """Add the output's gradient, weighted, to the values' gradients of one head of some edges."""
    heads, mixed = sizes[3], sizes[5]
    ours = stretch(direction, h * mixed)
    for e in range(count):
        weight = weights[e]
        if how[3] and weight == 0:
            continue
        theirs = stretch(dvalue, row_at(base, first + e, keys, heads * mixed, h * mixed))
        for c in range(mixed):
            theirs[c] += weight * ours[c]


@inlined(borrows=True)
def project_block(b, first, count, graph, sizes, held, projected, hidden):
    """Project the features of some edges, (edges, heads * features), and add each to its key."""
    _, keys, edges = graph
    _, _, key_count, heads, width, _, extra = sizes
    key, edge_features, edge_weight = held[1], held[4], held[5]
    whole = heads * width
    for e in range(count):
        features = stretch(edge_features, edges[first + e] * extra)
        out, total = stretch(projected, e * whole), stretch(hidden, e * whole)
        ours = stretch(key, row_at(b * key_count, first + e, keys, whole, 0))
        for c in range(whole):
            out[c] = 0
        for d in range(extra):
            feature, weights = features[d], stretch(edge_weight, d * whole)
            for c in range(whole):
                out[c] += feature * weights[c]
        for c in range(whole):
            total[c] = ours[c] + out[c]


@inlined(borrows=True)
def is_dropped(seed, place, limit):
    """Whether dropout takes the weight at a place: 32 random bits of (seed, place), SplitMix64, below `limit`."""
    bits = np.uint64(seed) + np.uint64(place + 1) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (bits ^ (bits >> np.uint64(31))) >> np.uint64(32) < np.uint64(limit)
