"""Attention on a graph, forward: one pass a node over its edges, nothing kept that has features an edge."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from heedful.ops.kernels.edges_pair import (
    AHEAD,
    ask_for,
    head_score,
    is_dropped,
    project,
    share_of_rows,
)
from heedful.ops.kernels.runtime import inlined, kernel
from heedful.ops.kernels.runtime_source import Compiled

BLOCK = 32
"""Edges of a node that are scored, normalized and mixed at a time; their rows stay in the inner cache meanwhile."""


@cache
def edges_forward(kind: int, features: int, values: int, plain: bool) -> Compiled:
    """Build the kernel for heads of so many features to score and to mix, which unrolls its loops; 0: any number."""

    def edges_forward(
        part, parts, start, keys, edges, batch, queries, key_count, heads, width, mixed, extra,
        slope, query, key, value, vector, edge_features, edge_weight, mixes_edges,
        bias, bias_step, seed, limit, growth, output, logsumexp, spaces,
    ):  # fmt: skip
        forward_part(
            part, parts, (start, keys, edges),
            (batch, queries, key_count, heads, features or width, values or mixed, 0 if plain else extra),
            (kind, query.dtype.type(slope), 0 if plain else mixes_edges, not plain),
            (query, key, value, vector, edge_features, edge_weight, bias, bias_step),
            (seed[0], 0 if plain else limit, query.dtype.type(growth)), output, logsumexp, spaces[part],
        )  # fmt: skip

    return kernel(edges_forward)


def forward_space(heads: int, width: int, extra: int) -> int:
    """How many numbers of work space a part needs."""
    return heads * (2 + BLOCK) + ((BLOCK + 1) * heads * width if extra else 0)


@inlined
def forward_part(part, parts, graph, sizes, how, held, dropout, output, logsumexp, space):
    """Weights by softmax, dropped out, and the mix of values, for one part's rows of every graph of the batch."""
    start = graph[0]
    batch, queries, _, heads, _, mixed, _ = sizes
    state = space[: 2 * heads]
    scores = space[2 * heads : (2 + BLOCK) * heads]
    projected = space[(2 + BLOCK) * heads :]
    begin, end = share_of_rows(start, part, parts)
    for b in range(batch):
        for i in range(begin, end):
            row = b * queries + i
            for h in range(heads):
                state[h] = -np.inf
                state[heads + h] = 0
            for c in range(row * heads * mixed, (row + 1) * heads * mixed):
                output[c] = 0
            for first in range(start[i], start[i + 1], BLOCK):
                count = min(BLOCK, start[i + 1] - first)
                score_block(b, row, first, count, graph, sizes, how, held, scores, projected)
                normalize_block(row, count, heads, mixed, scores, state, output)
                if dropout[1] > 0:
                    drop_block(b, first, count, heads, graph, dropout, scores)
                mix_block(
                    b, row, first, count, graph, sizes, how, held[2], scores, projected, output
                )
            finish_row(row, heads, mixed, state, output, logsumexp)


@inlined
def score_block(b, row, first, count, graph, sizes, how, held, scores, projected):
    """Scores of some edges of one row, (heads, edges); minus infinity where the bias hides."""
    _, keys, edges = graph
    _, _, key_count, heads, width, _, extra = sizes
    kind, slope, _, biased = how
    query, key, _, vector, edge_features, edge_weight, bias, bias_step = held
    whole = heads * width
    hidden = projected[BLOCK * whole :]
    last = keys.shape[0] - 1
    for e in range(count):
        ask_for(key, (b * key_count + keys[min(first + e + AHEAD, last)]) * whole, whole)
        k = (b * key_count + keys[first + e]) * whole
        source = key
        if extra > 0:
            at = e * whole
            f = edges[first + e] * extra
            project(edge_features, f, extra, edge_weight, projected, at, whole)
            for c in range(whole):
                hidden[c] = key[k + c] + projected[at + c]
            source, k = hidden, 0
        for h in range(heads):
            q = row * whole + h * width
            added = query.dtype.type(0)
            if biased and bias.shape[0] > 0:
                added = bias[b * bias_step + (first + e) * heads + h]
            if added != -np.inf:
                added += head_score(
                    kind, query, q, source, k + h * width, vector, h * width, slope, width
                )
            scores[h * BLOCK + e] = added


@inlined
def normalize_block(row, count, heads, mixed, scores, state, output):
    """Exponentials of a block's scores below the row's highest so far; what was summed before is scaled to that."""
    for h in range(heads):
        before = state[h]
        top = before
        for e in range(h * BLOCK, h * BLOCK + count):
            top = scores[e] if scores[e] > top else top
        state[h] = top
        if top == -np.inf:
            top = scores.dtype.type(0)
        added = scores.dtype.type(0)
        for e in range(h * BLOCK, h * BLOCK + count):
            weight = math.exp(scores[e] - top)
            scores[e] = weight
            added += weight
        if before != -np.inf and before != top:
            factor = math.exp(before - top)
            state[heads + h] *= factor
            for c in range((row * heads + h) * mixed, (row * heads + h + 1) * mixed):
                output[c] *= factor
        state[heads + h] += added


@inlined
def drop_block(b, first, count, heads, graph, dropout, scores):
    """Drop weights of a block and let the others grow."""
    seed, limit, growth = dropout
    place = (b * graph[1].shape[0] + first) * heads
    for e in range(count):
        for h in range(heads):
            if is_dropped(seed, place + e * heads + h, limit):
                scores[h * BLOCK + e] = 0
            else:
                scores[h * BLOCK + e] *= growth


@inlined
def mix_block(b, row, first, count, graph, sizes, how, value, scores, projected, output):
    """Add the values of a block's edges, weighted."""
    _, keys, _ = graph
    _, _, key_count, heads, _, mixed, _ = sizes
    whole = heads * mixed
    o = row * whole
    last = keys.shape[0] - 1
    for e in range(count):
        ask_for(value, (b * key_count + keys[min(first + e + AHEAD, last)]) * whole, whole)
        v = (b * key_count + keys[first + e]) * whole
        for h in range(heads):
            weight = scores[h * BLOCK + e]
            if weight == 0:
                continue
            for c in range(h * mixed, (h + 1) * mixed):
                output[o + c] += weight * value[v + c]
            if how[2]:
                for c in range(h * mixed, (h + 1) * mixed):
                    output[o + c] += weight * projected[e * whole + c]


@inlined
def finish_row(row, heads, mixed, state, output, logsumexp):
    """Divide by the sum of weights; a row that sees nothing stays 0."""
    for h in range(heads):
        top, total = state[h], state[heads + h]
        if top == -np.inf and total == 0:
            logsumexp[row * heads + h] = 0
            continue
        for c in range((row * heads + h) * mixed, (row * heads + h + 1) * mixed):
            output[c] /= total
        logsumexp[row * heads + h] = top + math.log(total)
