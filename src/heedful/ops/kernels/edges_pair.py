"""What one edge and one head do: helpers of the kernels for attention on a graph.

All feature arrays are flat, a node after the other and its heads side by side, so that an edge gathers one stretch
of memory; offsets say where a head of a node begins. `width` is how many features a head has. Kernels know it when
they are compiled (see `edges_forward`), so the loops below unroll.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.kernels.runtime import inlined, prefetch

DOT, LEAKY_RELU, TANH, TANH_OF_EXPONENTIALS = 0, 1, 2, 3
"""Ways to combine a query and a key: Σqk, Σv·LeakyReLU(q + k), Σv·tanh(q + k), and the latter from e^2q and e^2k."""
SUMS = frozenset({"contract", "reassoc", "nsz"})
"""Sums may be reordered; a division stays a division, for an estimate of 1/∞ would be refined to NaN."""
AHEAD = 4
"""How many edges before its turn a node's row is asked for from memory: they lie anywhere."""
LINE = 64
"""Bytes of a cache line."""


@inlined
def ask_for(array, begin, size):
    """Ask for `size` numbers from `begin` on."""
    for place in range(begin, begin + size, LINE // array.itemsize):
        prefetch(array, place)


@inlined
def share_of_rows(start, part, parts):
    """The rows of one part: as many edges and rows together as every other part has."""
    rows = start.shape[0] - 1
    whole = start[rows] + rows
    return (
        first_row(start, whole * part // parts),
        first_row(start, whole * (part + 1) // parts),
    )


@inlined
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


@inlined(fastmath=SUMS)
def head_score(kind, query, q, key, k, vector, v, slope, width):
    """The score of one head of one edge."""
    total, one = (
        query.dtype.type(0),
        query.dtype.type(1),
    )  # an integer would widen float32 to float64
    if kind == DOT:
        for c in range(width):
            total += query[q + c] * key[k + c]
    elif kind == LEAKY_RELU:
        for c in range(width):
            hidden = query[q + c] + key[k + c]
            total += vector[v + c] * (hidden if hidden > 0 else hidden * slope)
    elif kind == TANH:
        for c in range(width):
            total += vector[v + c] * math.tanh(query[q + c] + key[k + c])
    else:
        for c in range(width):
            rest = one / (one + query[q + c] * key[k + c])
            total += vector[v + c] * (one - rest - rest)
    return total


@inlined(fastmath=SUMS)
def head_gradient(
    kind, slope, width, change, query, q, key, k, vector, v, dquery, dq, dkey, dk, dvector
):
    """Add what a change of the score of one head of one edge asks of query, key and vector."""
    one = query.dtype.type(1)
    if kind == DOT:
        for c in range(width):
            dquery[dq + c] += change * key[k + c]
            dkey[dk + c] += change * query[q + c]
    elif kind == LEAKY_RELU:
        for c in range(width):
            hidden = query[q + c] + key[k + c]
            inner = change * vector[v + c] * (one if hidden > 0 else slope)
            dvector[v + c] += change * (hidden if hidden > 0 else hidden * slope)
            dquery[dq + c] += inner
            dkey[dk + c] += inner
    else:
        for c in range(width):
            if kind == TANH:
                bent = math.tanh(query[q + c] + key[k + c])
                steepness = one - bent * bent
            else:
                rest = one / (one + query[q + c] * key[k + c])
                bent = one - rest - rest
                steepness = (one + bent) * (rest + rest)
            inner = change * vector[v + c] * steepness
            dvector[v + c] += change * bent
            dquery[dq + c] += inner
            dkey[dk + c] += inner


@inlined
def project(edge_features, f, features, edge_weight, out, at, width):
    """An edge's features times `edge_weight` (features, width), written to out[at : at + width]."""
    for c in range(width):
        out[at + c] = 0
    for d in range(features):
        feature = edge_features[f + d]
        for c in range(width):
            out[at + c] += feature * edge_weight[d * width + c]


@inlined
def is_dropped(seed, place, limit):
    """Whether dropout takes the weight at a place: 32 random bits of (seed, place), SplitMix64, below `limit`."""
    bits = np.uint64(seed) + np.uint64(place + 1) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (bits ^ (bits >> np.uint64(31))) >> np.uint64(32) < np.uint64(limit)
