"""Attention on a graph, backward: one pass a node that computes the weights again from their row's logsumexp."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from heedful.ops.kernels.edges_pair import (
    AHEAD,
    ask_for,
    head_gradient,
    head_score,
    is_dropped,
    project,
    share_of_rows,
)
from heedful.ops.kernels.runtime import inlined, kernel
from heedful.ops.kernels.runtime_source import Compiled


@cache
def edges_backward(kind: int, features: int, values: int, plain: bool) -> Compiled:
    """Build the kernel for heads of so many features to score and to mix, which unrolls its loops; 0: any number.

    Rows of `dkeys`, `dvalues`, `dvectors` and `dedge_weights` belong to one part each, since several parts meet the
    same key; their sum is the gradient. `dkeys` and `dvalues` may be one array where key and value are.
    """

    def edges_backward(
        part, parts, start, keys, edges, batch, queries, key_count, heads, width, mixed, extra,
        slope, query, key, value, vector, edge_features, edge_weight, mixes_edges,
        bias, bias_step, seed, limit, growth, output, logsumexp, direction, spaces,
        dquery, dkeys, dvalues, dvectors, dedge_features, dedge_weights, dbias,
    ):  # fmt: skip
        backward_part(
            part, parts, (start, keys, edges),
            (batch, queries, key_count, heads, features or width, values or mixed, 0 if plain else extra),
            (kind, query.dtype.type(slope), 0 if plain else mixes_edges, not plain),
            (query, key, value, vector, edge_features, edge_weight, bias, bias_step),
            (seed[0], 0 if plain else limit, query.dtype.type(growth)), (output, logsumexp, direction), spaces[part],
            (dquery, dkeys[part], dvalues[part], dvectors[part], dedge_features, dedge_weights[part], dbias),
        )  # fmt: skip

    return kernel(edges_backward)


def backward_space(heads: int, width: int) -> int:
    """How many numbers of work space a part needs."""
    return heads * (2 + 3 * width)


@inlined
def backward_part(part, parts, graph, sizes, how, held, dropout, after, space, sums):
    """Gradients of ⟨direction, output⟩ by one part's rows of every graph of the batch."""
    start, keys, _ = graph
    batch, queries, key_count, heads, width, mixed, _ = sizes
    output, _, direction = after
    begin, end = share_of_rows(start, part, parts)
    last = keys.shape[0] - 1
    for b in range(batch):
        for i in range(begin, end):
            row = b * queries + i
            # ⟨direction, output⟩ of each head: what softmax subtracts.
            for h in range(heads):
                total = output.dtype.type(0)
                for c in range((row * heads + h) * mixed, (row * heads + h + 1) * mixed):
                    total += direction[c] * output[c]
                space[h] = total
            for place in range(start[i], start[i + 1]):
                ahead = b * key_count + keys[min(place + AHEAD, last)]
                ask_for(held[1], ahead * heads * width, heads * width)
                ask_for(sums[1], ahead * heads * width, heads * width)
                ask_for(held[2], ahead * heads * mixed, heads * mixed)
                ask_for(sums[2], ahead * heads * mixed, heads * mixed)
                edge_backward(b, row, place, graph, sizes, how, held, dropout, after, space, sums)


@inlined
def edge_backward(b, row, place, graph, sizes, how, held, dropout, after, space, sums):
    """All heads of one edge."""
    _, keys, edges = graph
    _, _, key_count, heads, width, _, extra = sizes
    kind, slope, _, _ = how
    query, key, _, vector, edge_features, edge_weight, _, _ = held
    whole = heads * width
    projected = space[2 * heads : 2 * heads + whole]
    hidden = space[2 * heads + whole : 2 * heads + 2 * whole]
    dhidden = space[2 * heads + 2 * whole :]
    node = b * key_count + keys[place]
    source, k, target, t = key, node * whole, sums[1], node * whole
    if extra > 0:
        project(edge_features, edges[place] * extra, extra, edge_weight, projected, 0, whole)
        for c in range(whole):
            hidden[c] = key[k + c] + projected[c]
            dhidden[c] = 0
        source, k, target, t = hidden, 0, dhidden, 0
    for h in range(heads):
        q, w = row * whole + h * width, h * width
        score = head_score(kind, query, q, source, k + w, vector, w, slope, width)
        change = head_change(
            b, h, row, place, node, score, graph, sizes, how, held, dropout, after, space, sums
        )
        if change != 0:
            head_gradient(
                kind, slope, width, change, query, q, source, k + w, vector, w,
                sums[0], q, target, t + w, sums[3],
            )  # fmt: skip
    if extra > 0:
        edge_features_backward(row, place, node, graph, sizes, how, held, after, space, sums)


@inlined
def head_change(
    b, h, row, place, node, score, graph, sizes, how, held, dropout, after, space, sums
):
    """The derivative by the score of one head of one edge; adds what the value and the bias get."""
    _, _, _, heads, _, mixed, _ = sizes
    _, _, value, _, _, _, bias, bias_step = held
    _, logsumexp, direction = after
    seed, limit, growth = dropout
    dvalue, dbias = sums[2], sums[6]
    space[heads + h] = 0
    at = b * bias_step + place * heads + h
    if how[3] and bias.shape[0] > 0:
        if bias[at] == -np.inf:
            return direction.dtype.type(0)
        score += bias[at]
    weight = math.exp(score - logsumexp[row * heads + h])
    if weight == 0:
        return weight
    if limit > 0 and is_dropped(seed, (b * graph[1].shape[0] + place) * heads + h, limit):
        growth = direction.dtype.type(0)
    used = weight * growth
    space[heads + h] = used
    o, v = (row * heads + h) * mixed, (node * heads + h) * mixed
    reached = direction.dtype.type(0)
    for c in range(mixed):
        reached += direction[o + c] * value[v + c]
        dvalue[v + c] += used * direction[o + c]
    if how[2]:
        for c in range(mixed):
            reached += direction[o + c] * space[2 * heads + h * mixed + c]
    change = weight * (growth * reached - space[h])
    if how[3] and dbias.shape[0] > 0:
        dbias[at] += change
    return change


@inlined
def edge_features_backward(row, place, node, graph, sizes, how, held, after, space, sums):
    """Hand on what the sum of key and projection got: to the key, to the edge's features and to their weight."""
    _, _, _, heads, width, _, extra = sizes
    edge_features, edge_weight = held[4], held[5]
    _, dkey, _, _, dedge_features, dweight, _ = sums
    direction = after[2]
    whole = heads * width
    dhidden = space[2 * heads + 2 * whole :]
    for h in range(heads):
        for c in range(h * width, (h + 1) * width):
            dkey[node * whole + c] += dhidden[c]
            if how[2]:
                dhidden[c] += space[heads + h] * direction[row * whole + c]
    f = graph[2][place] * extra
    for d in range(extra):
        feature = edge_features[f + d]
        total = dhidden.dtype.type(0)
        for c in range(whole):
            total += dhidden[c] * edge_weight[d * whole + c]
            dweight[d * whole + c] += feature * dhidden[c]
        dedge_features[f + d] += total
