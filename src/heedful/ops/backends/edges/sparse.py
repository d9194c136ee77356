# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Sparsemax and entmax over the edges of each query, forward and backward kernel.

A row is normalized as a whole, so all its scores are computed first, in the place of its weights. What follows visits
the edges of positive weight alone.
"""

from __future__ import annotations

import math
from functools import cache

from heedful.ops.backends.edges.forward import drop_block, score_block, store_scores
from heedful.ops.backends.edges.pair import (
    BLOCK,
    DropoutArguments,
    Graph,
    Inputs,
    Options,
    Sizes,
    queries_of_part,
)
from heedful.ops.backends.edges.vectors import (
    mix,
    score_gradient,
    value_gradient,
    value_products,
)
from heedful.ops.jit.kernel import inlined, kernel, offset_view
from heedful.ops.jit.source import Compiled
from heedful.ops.normalizers.sparse_kernel import (
    differentiate_row,
    gradient_of_alpha,
    support_of_row,
)


@cache
def sparse_edges_forward(kind: int, score_lanes: bool, value_lanes: bool, simple: bool) -> Compiled:
    """Return the kernel for a pair function; arguments as for `edges_forward`, without edge features.

    `excess` is α − 1, (batch * heads). `weights` is flat, (batch * edges * heads), and before dropout. `rows`,
    `candidates` (float64) and `columns` (int32) have a row for each part, as long as the most edges of a query.
    """

    def sparse_edges_forward(
        part, parts, start, keys, edges, batch, queries, key_count, heads, width, value_width, edge_dim,
        slope, query, key, value, vector, edge_features, edge_weight, edges_in_values, separate_values,
        bias, bias_step, seed, limit, scale, excess, output, weights, workspaces, rows, candidates, columns,
    ):  # fmt: skip
        forward_rows(
            part, parts, Graph(start, keys, edges), Sizes(batch, queries, key_count, heads, width, value_width, 0),
            Options(kind, query.dtype.type(slope), 0, True, separate_values, score_lanes, value_lanes),
            Inputs(query, key, value, vector, edge_features, edge_weight, bias, bias_step),
            DropoutArguments(seed[0], limit, query.dtype.type(scale)), excess, output, weights,
            workspaces[part], rows[part], candidates[part], columns[part],
        )  # fmt: skip

    return kernel(no_refcount=True)(sparse_edges_forward)


@inlined(no_refcount=True)
def forward_rows(
    part, parts, graph, sizes, options, inputs, dropout, excess, output, weights, scores, row_scores, candidates,
    columns,
):  # fmt: skip
    """Attend from the queries of one part, in every graph of the batch; `scores` is scratch for a block of edges."""
    heads, size = sizes.heads, sizes.heads * sizes.value_width
    begin, end = queries_of_part(graph.start, part, parts)
    for b in range(sizes.batch):
        for i in range(begin, end):
            row, first_edge, last_edge = b * sizes.queries + i, graph.start[i], graph.start[i + 1]
            mean = offset_view(output, row * size)
            for c in range(size):
                mean[c] = 0
            for first in range(first_edge, last_edge, BLOCK):
                count = min(BLOCK, last_edge - first)
                score_block(b, row, first, count, graph, sizes, options, inputs, scores, scores)
                store_scores(b, first, count, heads, graph, scores, weights)
            ours = offset_view(weights, (b * graph.keys.shape[0] + first_edge) * heads)
            for h in range(heads):
                normalize_row(
                    offset_view(ours, h), heads, last_edge - first_edge, excess[b * heads + h], row_scores, candidates,
                    columns,
                )  # fmt: skip
            for first in range(first_edge, last_edge, BLOCK):
                count = min(BLOCK, last_edge - first)
                load_block(ours, first - first_edge, count, heads, scores)
                if dropout.limit > 0:
                    drop_block(b, first, count, heads, graph, dropout, scores)
                for h in range(heads):
                    mix(
                        h, b * sizes.keys, first, count, graph.keys, sizes, options, inputs.value, scores,
                        offset_view(scores, h * BLOCK), mean,
                    )  # fmt: skip


@inlined(no_refcount=True)
def normalize_row(ours, step, count, excess, row, candidates, columns):
    """Replace the scores of one query and head, `step` apart, by weights; NaN where one is NaN or plus infinity."""
    zero = row.dtype.type(0)
    for e in range(count):
        row[e] = ours[e * step]
    found = support_of_row(row[:count], excess, candidates, columns)
    for e in range(count):
        ours[e * step] = zero if found >= 0 else math.nan
    for c in range(found):
        ours[columns[c] * step] = candidates[c]


@inlined(no_refcount=True)
def load_block(source, first, count, heads, target):
    """target[h, e] = source[first + e, h] for a block of edges."""
    for e in range(count):
        for h in range(heads):
            target[h * BLOCK + e] = source[(first + e) * heads + h]


@cache
def sparse_edges_backward(
    kind: int, score_lanes: bool, value_lanes: bool, simple: bool
) -> Compiled:
    """Return the kernel for a pair function; arguments as for `edges_backward`, without edge features.

    `excess` and `weights` are those of the forward pass, and `dscores`, of the same shape, is scratch memory. `dalpha`
    (batch * queries * heads) receives what each query adds to the gradient of α, unless it is empty.
    """

    def sparse_edges_backward(
        part, parts, start, keys, edges, batch, queries, key_count, heads, width, value_width, edge_dim,
        slope, query, key, value, vector, edge_features, edge_weight, edges_in_values, separate_values,
        bias, bias_step, seed, limit, scale, excess, weights, doutput, dscores, workspaces,
        dquery, dkeys, dvalues, dvectors, dbias, dalpha,
    ):  # fmt: skip
        backward_rows(
            part, parts, Graph(start, keys, edges), Sizes(batch, queries, key_count, heads, width, value_width, 0),
            Options(kind, query.dtype.type(slope), 0, True, separate_values, score_lanes, value_lanes),
            Inputs(query, key, value, vector, edge_features, edge_weight, bias, bias_step),
            DropoutArguments(seed[0], limit, query.dtype.type(scale)), excess, weights, doutput, dscores,
            workspaces[part],
            (dquery, dkeys[part], dvalues[part], dvectors[part], dbias, dalpha),
        )  # fmt: skip

    return kernel(no_refcount=True)(sparse_edges_backward)


@inlined(no_refcount=True)
def backward_rows(
    part, parts, graph, sizes, options, inputs, dropout, excess, weights, doutput, dscores, block, gradients
):  # fmt: skip
    """Add the gradients that the queries of one part contribute; `block` is scratch for a block of edges."""
    heads, keys, size = sizes.heads, graph.keys, sizes.heads * sizes.width
    dquery, dkey, dvalue, dvector, dbias, dalpha = gradients
    begin, end = queries_of_part(graph.start, part, parts)
    for b in range(sizes.batch):
        base = b * sizes.keys
        for i in range(begin, end):
            row, first_edge, last_edge = b * sizes.queries + i, graph.start[i], graph.start[i + 1]
            at = (b * keys.shape[0] + first_edge) * heads
            ours, mine = offset_view(weights, at), offset_view(dscores, at)
            above = offset_view(doutput, row * heads * sizes.value_width)
            query = offset_view(inputs.query, row * size)
            target = offset_view(dquery, row * size)
            for c in range(size):
                target[c] = 0
            weight_gradients(
                b, (first_edge, last_edge), graph, sizes, options, dropout, inputs.value, above, block, mine
            )  # fmt: skip
            differentiate_rows((ours, mine), heads, last_edge - first_edge, b, row, excess, dalpha)
            if inputs.bias.shape[0] > 0:
                added = offset_view(dbias, b * inputs.bias_step + first_edge * heads)
                add_each(mine, (last_edge - first_edge) * heads, added)
            for first in range(first_edge, last_edge, BLOCK):
                count = min(BLOCK, last_edge - first)
                load_block(ours, first - first_edge, count, heads, block)
                if dropout.limit > 0:
                    drop_block(b, first, count, heads, graph, dropout, block)
                for h in range(heads):
                    value_gradient(
                        h, base, first, count, keys, sizes, options, offset_view(block, h * BLOCK), above, dvalue
                    )  # fmt: skip
                load_block(mine, first - first_edge, count, heads, block)
                for h in range(heads):
                    score_gradient(
                        h, base, first, count, keys, sizes, options, offset_view(block, h * BLOCK),
                        query, inputs.key, inputs.vector, target, dkey, dvector,
                    )  # fmt: skip


@inlined(no_refcount=True)
def differentiate_rows(rows, heads, count, b, row, excess, dalpha):
    """Replace the gradients of one query's weights by those of its scores, after what they say of α; rows: both."""
    for h in range(heads):
        weights, gradients, row_excess = (
            offset_view(rows[0], h),
            offset_view(rows[1], h),
            excess[b * heads + h],
        )
        if dalpha.shape[0] > 0:
            dalpha[row * heads + h] = gradient_of_alpha(
                weights, gradients, heads, count, row_excess
            )
        differentiate_row(weights, gradients, heads, count, row_excess)


@inlined(no_refcount=True)
def add_each(source, count, target):
    """Add `count` numbers of one array to those of another."""
    for e in range(count):
        target[e] += source[e]


@inlined(no_refcount=True)
def weight_gradients(
    b, edges, graph, sizes, options, dropout, value, above, block, result
):  # fmt: skip
    """result[e, h] = ⟨above, value⟩ of each edge from the first to the last (exclusive) of a query, after dropout."""
    heads, base = sizes.heads, b * sizes.keys
    for first in range(edges[0], edges[1], BLOCK):
        count = min(BLOCK, edges[1] - first)
        for h in range(heads):
            value_products(
                h, base, first, count, graph.keys, sizes, options, value, block, above, offset_view(block, h * BLOCK)
            )  # fmt: skip
        if dropout.limit > 0:
            drop_block(b, first, count, heads, graph, dropout, block)
        for e in range(count):
            for h in range(heads):
                result[(first - edges[0] + e) * heads + h] = block[h * BLOCK + e]
