# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""One head of a block of edges: scores, weighted sums of values and their gradients, as helpers of the kernels.

Feature arrays are flat: node after node, the heads of a node side by side, so that an edge reads one contiguous row.
Local names: `h` is a head, `b` a graph of the batch, `e` an edge of the block, `c` a feature, `d` an edge feature;
`base` is the first node of the graph and `first` the position of the block's first edge in the compressed rows.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from heedful.ops.jit.exponential import LOWEST, exponential
from heedful.ops.jit.kernel import inlined, offset_view, prefetch
from heedful.ops.jit.random_numbers import random_number
from heedful.ops.jit.source import LANES

DOT, LEAKY_RELU, TANH, TANH_OF_EXPONENTIALS = 0, 1, 2, 3
"""Pair functions: Σqk, Σv·LeakyReLU(q + k), Σv·tanh(q + k), and the last one computed from e^2q and e^2k."""
SUMS = frozenset({"contract", "reassoc", "nsz"})
"""fastmath flags: sums may be reordered. Not `arcp`: an approximate reciprocal of infinity is refined to NaN."""
PREFETCH_DISTANCE = 16
"""Edges to prefetch ahead; rows are scattered in memory."""
BLOCK = 32
"""Edges of a query that are processed together; their rows stay in the L1 cache between the passes over them."""
LINE = 64
"""Bytes of a cache line."""


class Graph(NamedTuple):
    """Compressed rows; see `CompressedRows`."""

    start: Any
    keys: Any
    edges: Any


class Sizes(NamedTuple):
    """Sizes of a call."""

    batch: Any
    queries: Any
    keys: Any
    heads: Any
    width: Any
    """Features of a head of query and key."""
    value_width: Any
    """Features of a head of the value."""
    edge_dim: Any
    """Features of an edge; 0 where edges have none."""


class Options(NamedTuple):
    """What is computed. The first and the last two are constants when a kernel is compiled, so branches fold."""

    kind: Any
    slope: Any
    """Slope of the LeakyReLU below 0."""
    edges_in_values: Any
    """Whether projected edge features are added to values as well as to keys."""
    guarded: Any
    """Whether a weight may be 0 because a bias or dropout hides the edge; its value may then be NaN."""
    separate_values: Any
    """Whether value is another tensor than key, so that its rows are prefetched too."""
    score_lanes: Any
    """Whether scores are computed 16 features at a time."""
    value_lanes: Any
    """Whether values are summed 16 features at a time."""


class Inputs(NamedTuple):
    """Flat input tensors; empty where there is none."""

    query: Any
    key: Any
    value: Any
    vector: Any
    edge_features: Any
    edge_weight: Any
    bias: Any
    bias_step: Any
    """Distance between the biases of two graphs of the batch; 0 where they share one."""


class DropoutArguments(NamedTuple):
    """Dropout of weights; see `EdgeDropout`."""

    seed: Any
    limit: Any
    scale: Any


@inlined(no_refcount=True)
def prefetch_row(array, begin, size):
    """Prefetch `size` numbers from `begin` on."""
    for place in range(begin, begin + size, LINE // array.itemsize):
        prefetch(array, place)


@inlined(no_refcount=True)
def prefetch_block(array, base, first, count, keys, size):
    """Prefetch the rows, of `size` numbers, of `count` edges that come `PREFETCH_DISTANCE` edges later."""
    last = keys.shape[0] - 1
    for e in range(count):
        node = base + np.int64(offset_view(keys, min(first + e + PREFETCH_DISTANCE, last))[0])
        prefetch_row(array, node * size, size)


@inlined(no_refcount=True)
def queries_of_part(start, part, parts):
    """Return the range of queries of one part; each part has about as many edges and queries together."""
    queries = start.shape[0] - 1
    total = start[queries] + queries
    return (
        first_query(start, total * part // parts),
        first_query(start, total * (part + 1) // parts),
    )


@inlined(no_refcount=True)
def first_query(start, wanted):
    """Return the first query with at least `wanted` edges and queries before it."""
    low, high = 0, start.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if start[middle] + middle < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@inlined(no_refcount=True)
def row_at(base, position, keys, size, offset):
    """Return the index of feature `offset` of the key of the edge at a position; a node has `size` features."""
    return (base + np.int64(offset_view(keys, position)[0])) * size + offset


@inlined(fastmath=SUMS, no_refcount=True)
def score_loop(h, base, first, count, keys, sizes, options, query, key, vector, scores):
    """Write the scores of one head. `key` holds a row for each edge of the block where edges have features."""
    heads, width, slope = sizes.heads, sizes.width, options.slope
    size = heads * width
    ours, weights = offset_view(query, h * width), offset_view(vector, h * width)
    # An integer literal would widen float32 to float64.
    zero, one = query.dtype.type(0), query.dtype.type(1)
    for e in range(count):
        if sizes.edge_dim > 0:
            theirs = offset_view(key, e * size + h * width)
        else:
            theirs = offset_view(key, row_at(base, first + e, keys, size, h * width))
        total = zero
        if options.kind == DOT:
            for c in range(width):
                total += ours[c] * theirs[c]
        elif options.kind == LEAKY_RELU:
            for c in range(width):
                hidden = ours[c] + theirs[c]
                total += weights[c] * (hidden if hidden > 0 else hidden * slope)
        elif options.kind == TANH:
            for c in range(width):
                total += weights[c] * math.tanh(ours[c] + theirs[c])
        else:
            for c in range(width):
                rest = one / (one + ours[c] * theirs[c])
                total += weights[c] * (one - rest - rest)
        scores[e] = total


@inlined(no_refcount=True)
def exponentiate(scores, count, top):
    """Replace each score by exp(score - top)."""
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


@inlined(fastmath=SUMS, no_refcount=True)
def score_gradient_loop(
    h, base, first, count, keys, sizes, options, dscores, query, key, vector, dquery, dkey, dvector
):
    """Add to the gradients of query, key and vector what the gradients of one head's scores contribute."""
    heads, width, slope = sizes.heads, sizes.width, options.slope
    size, one = heads * width, query.dtype.type(1)
    ours, weights = offset_view(query, h * width), offset_view(vector, h * width)
    dours, dweights = offset_view(dquery, h * width), offset_view(dvector, h * width)
    for e in range(count):
        dscore = dscores[e]
        if options.guarded and dscore == 0:
            continue
        if sizes.edge_dim > 0:
            place = e * size + h * width
        else:
            place = row_at(base, first + e, keys, size, h * width)
        theirs, dtheirs = offset_view(key, place), offset_view(dkey, place)
        if options.kind == DOT:
            for c in range(width):
                dours[c] += dscore * theirs[c]
                dtheirs[c] += dscore * ours[c]
        elif options.kind == LEAKY_RELU:
            for c in range(width):
                hidden = ours[c] + theirs[c]
                inner = dscore * weights[c] * (one if hidden > 0 else slope)
                dweights[c] += dscore * (hidden if hidden > 0 else hidden * slope)
                dours[c] += inner
                dtheirs[c] += inner
        else:
            for c in range(width):
                if options.kind == TANH:
                    activated = math.tanh(ours[c] + theirs[c])
                    derivative = one - activated * activated
                else:
                    rest = one / (one + ours[c] * theirs[c])
                    activated = one - rest - rest
                    derivative = (one + activated) * (rest + rest)
                inner = dscore * weights[c] * derivative
                dweights[c] += dscore * activated
                dours[c] += inner
                dtheirs[c] += inner


@inlined(no_refcount=True)
def mix_loop(h, base, first, count, keys, sizes, options, value, projected, weights, output):
    """Add the weighted values of one head to its output."""
    heads, width = sizes.heads, sizes.value_width
    total = offset_view(output, h * width)
    for e in range(count):
        weight = weights[e]
        if options.guarded and weight == 0:
            continue
        theirs = offset_view(value, row_at(base, first + e, keys, heads * width, h * width))
        for c in range(width):
            total[c] += weight * theirs[c]
        if options.edges_in_values:
            added = offset_view(projected, (e * heads + h) * width)
            for c in range(width):
                total[c] += weight * added[c]


@inlined(fastmath=SUMS, no_refcount=True)
def value_product_loop(
    h, base, first, count, keys, sizes, options, value, projected, doutput, products
):
    """Write the inner product of one head's output gradient and each value."""
    heads, width = sizes.heads, sizes.value_width
    ours = offset_view(doutput, h * width)
    for e in range(count):
        theirs = offset_view(value, row_at(base, first + e, keys, heads * width, h * width))
        total = doutput.dtype.type(0)
        for c in range(width):
            total += ours[c] * theirs[c]
        if options.edges_in_values:
            added = offset_view(projected, (e * heads + h) * width)
            for c in range(width):
                total += ours[c] * added[c]
        products[e] = total


@inlined(no_refcount=True)
def value_gradient_loop(h, base, first, count, keys, sizes, options, weights, doutput, dvalue):
    """Add one head's weighted output gradient to the gradients of the values."""
    heads, width = sizes.heads, sizes.value_width
    ours = offset_view(doutput, h * width)
    for e in range(count):
        weight = weights[e]
        if options.guarded and weight == 0:
            continue
        theirs = offset_view(dvalue, row_at(base, first + e, keys, heads * width, h * width))
        for c in range(width):
            theirs[c] += weight * ours[c]


@inlined(no_refcount=True)
def project_block(base, first, count, graph, sizes, inputs, projected, summed):
    """Write the projected features of a block's edges, (edges, heads * features), and their sum with the keys."""
    edge_dim, size = sizes.edge_dim, sizes.heads * sizes.width
    for e in range(count):
        features = offset_view(inputs.edge_features, graph.edges[first + e] * edge_dim)
        out, total = offset_view(projected, e * size), offset_view(summed, e * size)
        ours = offset_view(inputs.key, row_at(base, first + e, graph.keys, size, 0))
        for c in range(size):
            out[c] = 0
        for d in range(edge_dim):
            feature, weights = features[d], offset_view(inputs.edge_weight, d * size)
            for c in range(size):
                out[c] += feature * weights[c]
        for c in range(size):
            total[c] = ours[c] + out[c]


@inlined(no_refcount=True)
def is_dropped(seed, position, limit):
    """Return whether dropout zeroes the weight at a position: 32 bits of SplitMix64(seed, position) below `limit`."""
    return random_number(seed, position + 1) >> np.uint64(32) < np.uint64(limit)
