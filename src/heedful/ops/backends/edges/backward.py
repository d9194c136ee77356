# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Attention on a graph, backward: one pass a node that computes the weights again from their row's logsumexp."""

from __future__ import annotations

from functools import cache

import numpy as np

from heedful.ops.backends.edges.pair import (
    BLOCK,
    ask_for_block,
    is_dropped,
    project_block,
    raise_scores,
    row_at,
    share_of_rows,
)
from heedful.ops.backends.edges.vectors import distribute, gradient, reach, score
from heedful.ops.jit.kernel import inlined, kernel, stretch
from heedful.ops.jit.source import Compiled


@cache
def edges_backward(kind: int, scores_lanes: bool, mixes_lanes: bool, plain: bool) -> Compiled:
    """Build the kernel for a kind of score, and for features to score and to mix in lanes or one by one.

    Rows of `dkeys`, `dvalues`, `dvectors` and `dedge_weights` belong to one part each, since several parts meet the
    same key; their sum is the gradient. `dkeys` and `dvalues` may be one array where key and value are.
    """

    def edges_backward(
        part, parts, start, keys, edges, batch, queries, key_count, heads, width, mixed, extra,
        slope, query, key, value, vector, edge_features, edge_weight, mixes_edges, apart,
        bias, bias_step, seed, limit, growth, output, logsumexp, direction, spaces,
        dquery, dkeys, dvalues, dvectors, dedge_features, dedge_weights, dbias,
    ):  # fmt: skip
        backward_part(
            part, parts, (start, keys, edges),
            (batch, queries, key_count, heads, width, mixed, 0 if plain else extra),
            (kind, query.dtype.type(slope), 0 if plain else mixes_edges, not plain, apart, scores_lanes, mixes_lanes),
            (query, key, value, vector, edge_features, edge_weight, bias, bias_step),
            (seed[0], 0 if plain else limit, query.dtype.type(growth)), (output, logsumexp, direction), spaces[part],
            (dquery, dkeys[part], dvalues[part], dvectors[part], dedge_features, dedge_weights[part], dbias),
        )  # fmt: skip

    return kernel(borrows=True)(edges_backward)


def backward_space(heads: int, width: int, extra: int) -> int:
    """How many numbers of work space a part needs."""
    return heads * (1 + 2 * BLOCK) + (3 * BLOCK * heads * width if extra else 0)


@inlined(borrows=True)
def backward_part(part, parts, graph, sizes, how, held, dropout, after, space, sums):
    """Gradients of ⟨direction, output⟩ by one part's rows of every graph of the batch."""
    start = graph[0]
    batch, queries, _, heads, width, mixed, _ = sizes
    begin, end = share_of_rows(start, part, parts)
    for b in range(batch):
        for i in range(begin, end):
            row = b * queries + i
            # ⟨direction, output⟩ of each head: what softmax subtracts.
            for h in range(heads):
                ours = stretch(after[0], (row * heads + h) * mixed)
                direction = stretch(after[2], (row * heads + h) * mixed)
                total = space.dtype.type(0)
                for c in range(mixed):
                    total += direction[c] * ours[c]
                space[h] = total
            dquery = stretch(sums[0], row * heads * width)
            for c in range(heads * width):
                dquery[c] = 0
            for first in range(start[i], start[i + 1], BLOCK):
                count = min(BLOCK, start[i + 1] - first)
                block_backward(
                    b, row, first, count, graph, sizes, how, held, dropout, after, space, sums, dquery
                )  # fmt: skip


@inlined(borrows=True)
def block_backward(
    b, row, first, count, graph, sizes, how, held, dropout, after, space, sums, dquery
):
    """All heads of some edges of one row."""
    keys = graph[1]
    _, _, key_count, heads, width, mixed, extra = sizes
    whole, base = heads * width, b * key_count
    scores, used = stretch(space, heads), stretch(space, heads + heads * BLOCK)
    projected = stretch(used, heads * BLOCK)
    query, key, value, vector = stretch(held[0], row * whole), held[1], held[2], held[3]
    dkey = sums[1]
    ask_for_block(key, base, first, count, keys, whole)
    ask_for_block(dkey, base, first, count, keys, whole)
    if how[4]:
        ask_for_block(value, base, first, count, keys, heads * mixed)
        ask_for_block(sums[2], base, first, count, keys, heads * mixed)
    if extra > 0:
        key, dkey = stretch(projected, BLOCK * whole), stretch(projected, 2 * BLOCK * whole)
        project_block(b, first, count, graph, sizes, held, projected, key)
        for c in range(count * whole):
            dkey[c] = 0
    direction = stretch(after[2], row * heads * mixed)
    for h in range(heads):
        changes, weights = stretch(scores, h * BLOCK), stretch(used, h * BLOCK)
        score(h, base, first, count, keys, sizes, how, query, key, vector, changes)
        head_weights(b, h, row, first, count, sizes, how, held, after, changes)
        reach(h, base, first, count, keys, sizes, how, value, projected, direction, weights)
        head_changes(b, h, first, count, graph, sizes, how, dropout, space[h], changes, weights)
        distribute(h, base, first, count, keys, sizes, how, weights, direction, sums[2])
        if how[3] and sums[6].shape[0] > 0:
            dbias = stretch(sums[6], b * held[7] + first * heads + h)
            for e in range(count):
                dbias[e * heads] += changes[e]
        gradient(
            h, base, first, count, keys, sizes, how, changes,
            (query, key, vector), (dquery, dkey, sums[3]),
        )  # fmt: skip
    if extra > 0:
        features_backward(b, row, first, count, graph, sizes, how, held, after, used, dkey, sums)


@inlined(borrows=True)
def head_weights(b, h, row, first, count, sizes, how, held, after, scores):
    """Put weights in place of scores of one head of some edges; a bias of minus infinity hides."""
    heads, bias, bias_step = sizes[3], held[6], held[7]
    if how[3] and bias.shape[0] > 0:
        added = stretch(bias, b * bias_step + first * heads + h)
        for e in range(count):
            hides = added[e * heads] == -np.inf
            scores[e] = -np.inf if hides else scores[e] + added[e * heads]
    raise_scores(scores, count, after[1][row * heads + h])


@inlined(borrows=True)
def head_changes(b, h, first, count, graph, sizes, how, dropout, drop, changes, reached):
    """Put derivatives by scores in place of weights, and weights as dropped in place of what the values reach."""
    seed, limit, growth = dropout
    heads = sizes[3]
    place = (b * graph[1].shape[0] + first) * heads + h
    for e in range(count):
        weight, grown = changes[e], growth
        if limit > 0 and is_dropped(seed, place + e * heads, limit):
            grown = changes.dtype.type(0)
        change = weight * (grown * reached[e] - drop)
        # Where a weight is 0, what it weighs may hold anything.
        changes[e] = changes.dtype.type(0) if how[3] and weight == 0 else change
        reached[e] = weight * grown


@inlined(borrows=True)
def features_backward(b, row, first, count, graph, sizes, how, held, after, used, dhidden, sums):
    """Hand on what sums of key and projection got: to the keys, to the edges' features and to their weight."""
    _, keys, edges = graph
    _, _, key_count, heads, width, _, extra = sizes
    edge_features, edge_weight = held[4], held[5]
    whole = heads * width
    direction = stretch(after[2], row * whole)
    for e in range(count):
        ours = stretch(dhidden, e * whole)
        dkey = stretch(sums[1], row_at(b * key_count, first + e, keys, whole, 0))
        for c in range(whole):
            dkey[c] += ours[c]
        if how[2]:
            for h in range(heads):
                for c in range(h * width, (h + 1) * width):
                    ours[c] += used[h * BLOCK + e] * direction[c]
        f = edges[first + e] * extra
        for d in range(extra):
            feature = edge_features[f + d]
            weights, dweights = stretch(edge_weight, d * whole), stretch(sums[5], d * whole)
            total = dhidden.dtype.type(0)
            for c in range(whole):
                total += ours[c] * weights[c]
                dweights[c] += feature * ours[c]
            sums[4][f + d] += total
