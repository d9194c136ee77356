# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Backward kernel: one pass over the edges of each query, which recomputes the weights from the query's logsumexp."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

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
    row_at,
)
from heedful.ops.backends.edges.vectors import (
    score,
    score_gradient,
    value_gradient,
    value_products,
)
from heedful.ops.jit.kernel import inlined, kernel, offset_view
from heedful.ops.jit.source import Compiled


class Results(NamedTuple):
    """What the forward pass left, and the gradient of its output."""

    output: Any
    logsumexp: Any
    doutput: Any


class EdgeGradients(NamedTuple):
    """Flat gradients of the inputs, to be added to."""

    query: Any
    key: Any
    value: Any
    vector: Any
    edge_features: Any
    edge_weight: Any
    bias: Any


@cache
def edges_backward(kind: int, score_lanes: bool, value_lanes: bool, simple: bool) -> Compiled:
    """Return the kernel for a pair function; arguments as for `edges_forward`.

    `dkeys`, `dvalues`, `dvectors` and `dedge_weights` have a row for each part, since several parts may meet the same
    key; their sum is the gradient. `dkeys` and `dvalues` may be one array where key and value are one tensor.
    """

    def edges_backward(
        part, parts, start, keys, edges, batch, queries, key_count, heads, width, value_width, edge_dim,
        slope, query, key, value, vector, edge_features, edge_weight, edges_in_values, separate_values,
        bias, bias_step, seed, limit, scale, output, logsumexp, doutput, workspaces,
        dquery, dkeys, dvalues, dvectors, dedge_features, dedge_weights, dbias,
    ):  # fmt: skip
        backward_part(
            part, parts, Graph(start, keys, edges),
            Sizes(batch, queries, key_count, heads, width, value_width, 0 if simple else edge_dim),
            Options(
                kind, query.dtype.type(slope), 0 if simple else edges_in_values, not simple, separate_values,
                score_lanes, value_lanes,
            ),
            Inputs(query, key, value, vector, edge_features, edge_weight, bias, bias_step),
            DropoutArguments(seed[0], 0 if simple else limit, query.dtype.type(scale)),
            Results(output, logsumexp, doutput), workspaces[part],
            EdgeGradients(
                dquery, dkeys[part], dvalues[part], dvectors[part], dedge_features, dedge_weights[part], dbias,
            ),
        )  # fmt: skip

    return kernel(no_refcount=True)(edges_backward)


def backward_workspace(heads: int, width: int, edge_dim: int) -> int:
    """Return how many numbers of workspace a part needs."""
    return heads * (1 + 2 * BLOCK) + (3 * BLOCK * heads * width if edge_dim else 0)


@inlined(no_refcount=True)
def backward_part(
    part, parts, graph, sizes, options, inputs, dropout, results, workspace, gradients
):
    """Add the gradients that the queries of one part contribute, in every graph of the batch.

    The workspace holds ⟨output gradient, output⟩ of each head, the block's score gradients and its dropped weights;
    then the projected edge features of the block, their sums with the keys, and the gradients of these sums.
    """
    heads, value_width = sizes.heads, sizes.value_width
    begin, end = queries_of_part(graph.start, part, parts)
    for b in range(sizes.batch):
        for i in range(begin, end):
            row = b * sizes.queries + i
            # The backward pass of softmax subtracts ⟨output gradient, output⟩ from the gradient of each weight.
            for h in range(heads):
                output = offset_view(results.output, (row * heads + h) * value_width)
                doutput = offset_view(results.doutput, (row * heads + h) * value_width)
                total = workspace.dtype.type(0)
                for c in range(value_width):
                    total += doutput[c] * output[c]
                workspace[h] = total
            dquery = offset_view(gradients.query, row * heads * sizes.width)
            for c in range(heads * sizes.width):
                dquery[c] = 0
            for first in range(graph.start[i], graph.start[i + 1], BLOCK):
                count = min(BLOCK, graph.start[i + 1] - first)
                block_backward(
                    b, row, first, count, graph, sizes, options, inputs, dropout, results, workspace, gradients,
                    dquery,
                )  # fmt: skip


@inlined(no_refcount=True)
def block_backward(
    b, row, first, count, graph, sizes, options, inputs, dropout, results, workspace, gradients, dquery
):  # fmt: skip
    """Add the gradients of all heads of a block."""
    heads, keys, base = sizes.heads, graph.keys, b * sizes.keys
    size, value_size = heads * sizes.width, heads * sizes.value_width
    dscores, dropped = offset_view(workspace, heads), offset_view(workspace, heads + heads * BLOCK)
    projected = offset_view(dropped, heads * BLOCK)
    query, key, dkey = offset_view(inputs.query, row * size), inputs.key, gradients.key
    prefetch_block(key, base, first, count, keys, size)
    prefetch_block(dkey, base, first, count, keys, size)
    if options.separate_values:
        prefetch_block(inputs.value, base, first, count, keys, value_size)
        prefetch_block(gradients.value, base, first, count, keys, value_size)
    if sizes.edge_dim > 0:
        key, dkey = offset_view(projected, BLOCK * size), offset_view(projected, 2 * BLOCK * size)
        project_block(base, first, count, graph, sizes, inputs, projected, key)
        for c in range(count * size):
            dkey[c] = 0
    doutput = offset_view(results.doutput, row * value_size)
    for h in range(heads):
        ours, weights = offset_view(dscores, h * BLOCK), offset_view(dropped, h * BLOCK)
        score(h, base, first, count, keys, sizes, options, query, key, inputs.vector, ours)
        recompute_weights(b, h, row, first, count, sizes, options, inputs, results, ours)
        value_products(
            h, base, first, count, keys, sizes, options, inputs.value, projected, doutput, weights
        )
        differentiate_softmax(
            b, h, first, count, graph, sizes, options, dropout, workspace[h], ours, weights
        )
        value_gradient(
            h, base, first, count, keys, sizes, options, weights, doutput, gradients.value
        )
        bias_gradient(b, h, first, count, heads, options, inputs, ours, gradients)
        score_gradient(
            h, base, first, count, keys, sizes, options, ours,
            query, key, inputs.vector, dquery, dkey, gradients.vector,
        )  # fmt: skip
    if sizes.edge_dim > 0:
        edge_features_backward(
            base, first, count, graph, sizes, options, inputs, doutput, dropped, dkey, gradients
        )


@inlined(no_refcount=True)
def recompute_weights(b, h, row, first, count, sizes, options, inputs, results, scores):
    """Replace the scores of one head by weights; 0 where the bias is minus infinity."""
    heads = sizes.heads
    if options.guarded and inputs.bias.shape[0] > 0:
        added = offset_view(inputs.bias, b * inputs.bias_step + first * heads + h)
        for e in range(count):
            hides = added[e * heads] == -np.inf
            scores[e] = -np.inf if hides else scores[e] + added[e * heads]
    exponentiate(scores, count, results.logsumexp[row * heads + h])


@inlined(no_refcount=True)
def differentiate_softmax(
    b, h, first, count, graph, sizes, options, dropout, subtracted, weights, products
):
    """Replace the weights of one head by gradients of its scores, and `products` by the weights after dropout."""
    heads = sizes.heads
    position = (b * graph.keys.shape[0] + first) * heads + h
    for e in range(count):
        weight, scale = weights[e], dropout.scale
        if dropout.limit > 0 and is_dropped(dropout.seed, position + e * heads, dropout.limit):
            scale = weights.dtype.type(0)
        dscore = weight * (scale * products[e] - subtracted)
        # The value of an edge of weight 0 may be NaN.
        weights[e] = weights.dtype.type(0) if options.guarded and weight == 0 else dscore
        products[e] = weight * scale


@inlined(no_refcount=True)
def bias_gradient(b, h, first, count, heads, options, inputs, dscores, gradients):
    """Add the gradients of one head's scores to those of its biases, where there are any."""
    if options.guarded and gradients.bias.shape[0] > 0:
        dbias = offset_view(gradients.bias, b * inputs.bias_step + first * heads + h)
        for e in range(count):
            dbias[e * heads] += dscores[e]


@inlined(no_refcount=True)
def edge_features_backward(
    base, first, count, graph, sizes, options, inputs, doutput, dropped, dsummed, gradients
):
    """Add the gradients of sums of key and projected edge features to those of key, edge features and their weight."""
    heads, width, edge_dim = sizes.heads, sizes.width, sizes.edge_dim
    size = heads * width
    for e in range(count):
        ours = offset_view(dsummed, e * size)
        dkey = offset_view(gradients.key, row_at(base, first + e, graph.keys, size, 0))
        for c in range(size):
            dkey[c] += ours[c]
        if options.edges_in_values:
            for h in range(heads):
                for c in range(h * width, (h + 1) * width):
                    ours[c] += dropped[h * BLOCK + e] * doutput[c]
        f = graph.edges[first + e] * edge_dim
        for d in range(edge_dim):
            feature = inputs.edge_features[f + d]
            weights = offset_view(inputs.edge_weight, d * size)
            dweights = offset_view(gradients.edge_weight, d * size)
            total = dsummed.dtype.type(0)
            for c in range(size):
                total += ours[c] * weights[c]
                dweights[c] += feature * ours[c]
            gradients.edge_features[f + d] += total
