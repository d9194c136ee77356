# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Attention on a graph, forward: one pass a node over its edges, nothing kept that has features an edge."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from heedful.ops.backends.edges.pair import (
    BLOCK,
    ask_for_block,
    is_dropped,
    project_block,
    raise_scores,
    share_of_rows,
)
from heedful.ops.backends.edges.vectors import mix, score
from heedful.ops.jit.kernel import inlined, kernel, stretch
from heedful.ops.jit.source import Compiled


@cache
def edges_forward(kind: int, scores_lanes: bool, mixes_lanes: bool, plain: bool) -> Compiled:
    """Build the kernel for a kind of score, and for features to score and to mix in lanes or one by one."""

    def edges_forward(
        part, parts, start, keys, edges, batch, queries, key_count, heads, width, mixed, extra,
        slope, query, key, value, vector, edge_features, edge_weight, mixes_edges, apart,
        bias, bias_step, seed, limit, growth, output, logsumexp, spaces,
    ):  # fmt: skip
        forward_part(
            part, parts, (start, keys, edges),
            (batch, queries, key_count, heads, width, mixed, 0 if plain else extra),
            (kind, query.dtype.type(slope), 0 if plain else mixes_edges, not plain, apart, scores_lanes, mixes_lanes),
            (query, key, value, vector, edge_features, edge_weight, bias, bias_step),
            (seed[0], 0 if plain else limit, query.dtype.type(growth)), output, logsumexp, spaces[part],
        )  # fmt: skip

    return kernel(borrows=True)(edges_forward)


def forward_space(heads: int, width: int, extra: int) -> int:
    """How many numbers of work space a part needs."""
    return heads * (2 + BLOCK) + (2 * BLOCK * heads * width if extra else 0)


@inlined(borrows=True)
def forward_part(part, parts, graph, sizes, how, held, dropout, output, logsumexp, space):
    """Weights by softmax, dropped out, and the mix of values, for one part's rows of every graph of the batch."""
    start = graph[0]
    batch, queries, _, heads, _, mixed, _ = sizes
    scores = stretch(space, 2 * heads)
    projected = stretch(space, (2 + BLOCK) * heads)
    begin, end = share_of_rows(start, part, parts)
    for b in range(batch):
        for i in range(begin, end):
            row = b * queries + i
            for h in range(heads):
                space[h] = -np.inf
                space[heads + h] = 0
            mean = stretch(output, row * heads * mixed)
            for c in range(heads * mixed):
                mean[c] = 0
            for first in range(start[i], start[i + 1], BLOCK):
                count = min(BLOCK, start[i + 1] - first)
                score_block(b, row, first, count, graph, sizes, how, held, scores, projected)
                normalize_block(count, heads, mixed, scores, space, mean)
                if dropout[1] > 0:
                    drop_block(b, first, count, heads, graph, dropout, scores)
                for h in range(heads):
                    mix(
                        h, b * sizes[2], first, count, graph[1], sizes, how, held[2], projected,
                        stretch(scores, h * BLOCK), mean,
                    )  # fmt: skip
            finish_row(row, heads, mixed, space, mean, logsumexp)


@inlined(borrows=True)
def score_block(b, row, first, count, graph, sizes, how, held, scores, projected):
    """Scores of some edges of one row, (heads, edges); minus infinity where the bias hides."""
    _, _, key_count, heads, width, mixed, extra = sizes
    query, key, value, vector, _, _, bias, bias_step = held
    whole = heads * width
    ask_for_block(key, b * key_count, first, count, graph[1], whole)
    if how[4]:
        ask_for_block(value, b * key_count, first, count, graph[1], heads * mixed)
    hidden = key
    if extra > 0:
        hidden = stretch(projected, BLOCK * whole)
        project_block(b, first, count, graph, sizes, held, projected, hidden)
    for h in range(heads):
        ours = stretch(scores, h * BLOCK)
        score(
            h, b * key_count, first, count, graph[1], sizes, how,
            stretch(query, row * whole), hidden, vector, ours,
        )  # fmt: skip
        if how[3] and bias.shape[0] > 0:
            added = stretch(bias, b * bias_step + first * heads + h)
            for e in range(count):
                hides = added[e * heads] == -np.inf
                ours[e] = -np.inf if hides else ours[e] + added[e * heads]


@inlined(borrows=True)
def normalize_block(count, heads, mixed, scores, state, mean):
    """Exponentials of a block's scores below the row's highest so far; what was summed before is scaled to that."""
    zero = scores.dtype.type(0)
    for h in range(heads):
        ours = stretch(scores, h * BLOCK)
        before = state[h]
        top = before
        for e in range(count):
            top = ours[e] if ours[e] > top else top
        state[h] = top
        if top == -np.inf:
            top = zero
        if before != -np.inf and before != top:
            factor = math.exp(before - top)
            state[heads + h] *= factor
            theirs = stretch(mean, h * mixed)
            for c in range(mixed):
                theirs[c] *= factor
        raise_scores(ours, count, top)
        added = zero
        for e in range(count):
            added += ours[e]
        state[heads + h] += added


@inlined(borrows=True)
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


@inlined(borrows=True)
def finish_row(row, heads, mixed, state, mean, logsumexp):
    """Divide by the sum of weights; a row that sees nothing stays 0."""
    for h in range(heads):
        top, total = state[h], state[heads + h]
        if top == -np.inf and total == 0:
            logsumexp[row * heads + h] = 0
            continue
        ours = stretch(mean, h * mixed)
        part = mean.dtype.type(1) / total
        for c in range(mixed):
            ours[c] *= part
        logsumexp[row * heads + h] = top + math.log(total)
