# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Forward kernel: one pass over the edges of each query; nothing is stored that has features per edge."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from heedful.ops.backends.edges.pair import (
    BLOCK,
    DropoutArguments,
    Graph,
    Inputs,
    Options,
    Sizes,
    exponentiate,
    is_dropped,
    prefetch_block,
    project_block,
    queries_of_part,
)
from heedful.ops.backends.edges.vectors import mix, score
from heedful.ops.jit.kernel import inlined, kernel, offset_view
from heedful.ops.jit.source import Compiled


@cache
def edges_forward(kind: int, score_lanes: bool, value_lanes: bool, simple: bool) -> Compiled:
    """Return the kernel for a pair function.

    Args:
        kind: one of the pair functions of `pair`.
        score_lanes, value_lanes: whether scores and values are computed 16 features at a time.
        simple: whether there are no edge features, no bias and no dropout.

    The kernel's `weights` is None, or a flat array (batch * edges * heads) that receives the weights before dropout.
    """

    def edges_forward(
        part, parts, start, keys, edges, batch, queries, key_count, heads, width, value_width, edge_dim,
        slope, query, key, value, vector, edge_features, edge_weight, edges_in_values, separate_values,
        bias, bias_step, seed, limit, scale, output, logsumexp, weights, workspaces,
    ):  # fmt: skip
        forward_part(
            part, parts, Graph(start, keys, edges),
            Sizes(batch, queries, key_count, heads, width, value_width, 0 if simple else edge_dim),
            Options(
                kind, query.dtype.type(slope), 0 if simple else edges_in_values, not simple, separate_values,
                score_lanes, value_lanes,
            ),
            Inputs(query, key, value, vector, edge_features, edge_weight, bias, bias_step),
            DropoutArguments(seed[0], 0 if simple else limit, query.dtype.type(scale)),
            output, logsumexp, weights, workspaces[part],
        )  # fmt: skip

    return kernel(no_refcount=True)(edges_forward)


def forward_workspace(heads: int, width: int, edge_dim: int) -> int:
    """Return how many numbers of workspace a part needs."""
    return heads * (2 + BLOCK) + (2 * BLOCK * heads * width if edge_dim else 0)


@inlined(no_refcount=True)
def forward_part(
    part, parts, graph, sizes, options, inputs, dropout, output, logsumexp, weights, workspace
):
    """Attend from the queries of one part, in every graph of the batch.

    The workspace holds, for each head, the highest score so far, the sum of exponentials below it, and the block's
    scores; then the projected edge features of the block and their sums with the keys.
    """
    heads, value_size = sizes.heads, sizes.heads * sizes.value_width
    scores = offset_view(workspace, 2 * heads)
    projected = offset_view(workspace, (2 + BLOCK) * heads)
    begin, end = queries_of_part(graph.start, part, parts)
    for b in range(sizes.batch):
        for i in range(begin, end):
            row = b * sizes.queries + i
            for h in range(heads):
                workspace[h] = -np.inf
                workspace[heads + h] = 0
            mean = offset_view(output, row * value_size)
            for c in range(value_size):
                mean[c] = 0
            for first in range(graph.start[i], graph.start[i + 1], BLOCK):
                count = min(BLOCK, graph.start[i + 1] - first)
                score_block(b, row, first, count, graph, sizes, options, inputs, scores, projected)
                if weights is not None:
                    store_scores(b, first, count, heads, graph, scores, weights)
                normalize_block(count, heads, sizes.value_width, scores, workspace, mean)
                if dropout.limit > 0:
                    drop_block(b, first, count, heads, graph, dropout, scores)
                for h in range(heads):
                    mix(
                        h, b * sizes.keys, first, count, graph.keys, sizes, options, inputs.value, projected,
                        offset_view(scores, h * BLOCK), mean,
                    )  # fmt: skip
            finish_query(row, heads, sizes.value_width, workspace, mean, logsumexp)
            if weights is not None:
                finish_weights(b, i, heads, graph, scores, workspace, weights)


@inlined(no_refcount=True)
def score_block(b, row, first, count, graph, sizes, options, inputs, scores, projected):
    """Write the scores of a block, (heads, edges); minus infinity where the bias is."""
    heads, base = sizes.heads, b * sizes.keys
    size = heads * sizes.width
    prefetch_block(inputs.key, base, first, count, graph.keys, size)
    if options.separate_values:
        prefetch_block(inputs.value, base, first, count, graph.keys, heads * sizes.value_width)
    key = inputs.key
    if sizes.edge_dim > 0:
        key = offset_view(projected, BLOCK * size)
        project_block(base, first, count, graph, sizes, inputs, projected, key)
    for h in range(heads):
        ours = offset_view(scores, h * BLOCK)
        score(
            h, base, first, count, graph.keys, sizes, options,
            offset_view(inputs.query, row * size), key, inputs.vector, ours,
        )  # fmt: skip
        if options.guarded and inputs.bias.shape[0] > 0:
            added = offset_view(inputs.bias, b * inputs.bias_step + first * heads + h)
            for e in range(count):
                hides = added[e * heads] == -np.inf
                ours[e] = -np.inf if hides else ours[e] + added[e * heads]


@inlined(no_refcount=True)
def store_scores(b, first, count, heads, graph, scores, weights):
    """Copy the scores of a block to the weights, where `finish_weights` normalizes them."""
    ours = offset_view(weights, (b * graph.keys.shape[0] + first) * heads)
    for e in range(count):
        for h in range(heads):
            ours[e * heads + h] = scores[h * BLOCK + e]


@inlined(no_refcount=True)
def normalize_block(count, heads, value_width, scores, state, mean):
    """Replace scores by exponentials below the highest score so far; rescale what was summed below a lower one."""
    zero = scores.dtype.type(0)
    for h in range(heads):
        ours = offset_view(scores, h * BLOCK)
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
            theirs = offset_view(mean, h * value_width)
            for c in range(value_width):
                theirs[c] *= factor
        exponentiate(ours, count, top)
        added = zero
        for e in range(count):
            added += ours[e]
        state[heads + h] += added


@inlined(no_refcount=True)
def drop_block(b, first, count, heads, graph, dropout, scores):
    """Zero the dropped weights of a block and scale the others."""
    position = (b * graph.keys.shape[0] + first) * heads
    for e in range(count):
        for h in range(heads):
            if is_dropped(dropout.seed, position + e * heads + h, dropout.limit):
                scores[h * BLOCK + e] = 0
            else:
                scores[h * BLOCK + e] *= dropout.scale


@inlined(no_refcount=True)
def finish_query(row, heads, value_width, state, mean, logsumexp):
    """Divide the output by the sum of exponentials; a query that attends to nothing keeps output 0."""
    for h in range(heads):
        top, total = state[h], state[heads + h]
        if top == -np.inf and total == 0:
            logsumexp[row * heads + h] = 0
            continue
        ours = offset_view(mean, h * value_width)
        part = mean.dtype.type(1) / total
        for c in range(value_width):
            ours[c] *= part
        logsumexp[row * heads + h] = top + math.log(total)


@inlined(no_refcount=True)
def finish_weights(b, i, heads, graph, scores, state, weights):
    """Turn the stored scores of a query into weights; all are 0 where it attends to nothing."""
    zero, one = weights.dtype.type(0), weights.dtype.type(1)
    for first in range(graph.start[i], graph.start[i + 1], BLOCK):
        count = min(BLOCK, graph.start[i + 1] - first)
        ours = offset_view(weights, (b * graph.keys.shape[0] + first) * heads)
        for h in range(heads):
            top, total = state[h], state[heads + h]
            block = offset_view(scores, h * BLOCK)
            for e in range(count):
                block[e] = ours[e * heads + h]
            exponentiate(block, count, zero if top == -np.inf else top)
            part = one if total == 0 else one / total
            for e in range(count):
                ours[e * heads + h] = block[e] * part
