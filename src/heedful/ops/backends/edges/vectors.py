# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The loops of `pair`, 16 features at a time where the width of a head is a multiple of 16, and the choice of them.

Sixteen features of the query stay in registers while all edges of a block are processed. Arguments and results are
those of the loop of the same name in `pair`.
"""

from __future__ import annotations

from heedful.ops.backends.edges.pair import (
    DOT,
    LEAKY_RELU,
    mix_loop,
    row_at,
    score_gradient_loop,
    score_loop,
    value_gradient_loop,
    value_product_loop,
)
from heedful.ops.jit.kernel import (
    inlined,
    load,
    offset_view,
    reduce_sum,
    select_positive,
    splat,
    store,
)
from heedful.ops.jit.source import LANES


@inlined(no_refcount=True)
def score_lanes(h, base, first, count, keys, sizes, options, query, key, vector, scores):
    """Write the scores of one head."""
    heads, width, slope = sizes.heads, sizes.width, options.slope
    one = query.dtype.type(1)
    for c in range(h * width, (h + 1) * width, LANES):
        ours = load(query, c)
        weights = ours if options.kind == DOT else load(vector, c)
        for e in range(count):
            if sizes.edge_dim > 0:
                theirs = load(key, e * heads * width + c)
            else:
                theirs = load(key, row_at(base, first + e, keys, heads * width, c))
            if options.kind == DOT:
                total = reduce_sum(ours * theirs)
            elif options.kind == LEAKY_RELU:
                hidden = ours + theirs
                total = reduce_sum(weights * select_positive(hidden, hidden, hidden * slope))
            else:
                rest = one / (ours * theirs + one)
                total = reduce_sum(weights * (one - rest - rest))
            scores[e] = total if c == h * width else scores[e] + total


@inlined(no_refcount=True)
def score_gradient_lanes(
    h, base, first, count, keys, sizes, options, dscores, query, key, vector, dquery, dkey, dvector
):
    """Add to the gradients of query, key and vector what the gradients of one head's scores contribute."""
    heads, width, slope = sizes.heads, sizes.width, options.slope
    one, zero = query.dtype.type(1), query.dtype.type(0)
    for c in range(h * width, (h + 1) * width, LANES):
        ours, dours = load(query, c), load(dquery, c)
        weights = ours if options.kind == DOT else load(vector, c)
        dweights = splat(zero)
        for e in range(count):
            dscore = dscores[e]
            if options.guarded and dscore == 0:
                continue
            if sizes.edge_dim > 0:
                place = e * heads * width + c
            else:
                place = row_at(base, first + e, keys, heads * width, c)
            theirs, dtheirs = load(key, place), offset_view(dkey, place)
            if options.kind == DOT:
                dours = dours + theirs * dscore
                inner = ours * dscore
            elif options.kind == LEAKY_RELU:
                hidden = ours + theirs
                inner = weights * select_positive(hidden, dscore, dscore * slope)
                dweights = dweights + select_positive(hidden, hidden, hidden * slope) * dscore
                dours = dours + inner
            else:
                rest = one / (ours * theirs + one)
                activated = one - rest - rest
                inner = weights * ((activated + one) * (rest + rest)) * dscore
                dweights = dweights + activated * dscore
                dours = dours + inner
            store(dtheirs, 0, load(dtheirs, 0) + inner)
        store(dquery, c, dours)
        if options.kind != DOT:
            store(dvector, c, load(dvector, c) + dweights)


@inlined(no_refcount=True)
def mix_lanes(h, base, first, count, keys, sizes, options, value, projected, weights, output):
    """Add the weighted values of one head to its output."""
    heads, width = sizes.heads, sizes.value_width
    for c in range(h * width, (h + 1) * width, LANES):
        total = load(output, c)
        for e in range(count):
            weight = weights[e]
            if options.guarded and weight == 0:
                continue
            total = total + load(value, row_at(base, first + e, keys, heads * width, c)) * weight
            if options.edges_in_values:
                total = total + load(projected, e * heads * width + c) * weight
        store(output, c, total)


@inlined(no_refcount=True)
def value_product_lanes(
    h, base, first, count, keys, sizes, options, value, projected, doutput, products
):
    """Write the inner product of one head's output gradient and each value."""
    heads, width = sizes.heads, sizes.value_width
    for c in range(h * width, (h + 1) * width, LANES):
        ours = load(doutput, c)
        for e in range(count):
            theirs = load(value, row_at(base, first + e, keys, heads * width, c))
            if options.edges_in_values:
                theirs = theirs + load(projected, e * heads * width + c)
            total = reduce_sum(ours * theirs)
            products[e] = total if c == h * width else products[e] + total


@inlined(no_refcount=True)
def value_gradient_lanes(h, base, first, count, keys, sizes, options, weights, doutput, dvalue):
    """Add one head's weighted output gradient to the gradients of the values."""
    heads, width = sizes.heads, sizes.value_width
    for c in range(h * width, (h + 1) * width, LANES):
        ours = load(doutput, c)
        for e in range(count):
            if options.guarded and weights[e] == 0:
                continue
            theirs = offset_view(dvalue, row_at(base, first + e, keys, heads * width, c))
            store(theirs, 0, load(theirs, 0) + ours * weights[e])


@inlined(no_refcount=True)
def score(h, base, first, count, keys, sizes, options, query, key, vector, scores):
    """Write the scores of one head."""
    if options.score_lanes:
        score_lanes(h, base, first, count, keys, sizes, options, query, key, vector, scores)
    else:
        score_loop(h, base, first, count, keys, sizes, options, query, key, vector, scores)


@inlined(no_refcount=True)
def score_gradient(
    h, base, first, count, keys, sizes, options, dscores, query, key, vector, dquery, dkey, dvector
):
    """Add to the gradients of query, key and vector what the gradients of one head's scores contribute."""
    if options.score_lanes:
        score_gradient_lanes(
            h, base, first, count, keys, sizes, options, dscores, query, key, vector, dquery, dkey, dvector
        )  # fmt: skip
    else:
        score_gradient_loop(
            h, base, first, count, keys, sizes, options, dscores, query, key, vector, dquery, dkey, dvector
        )  # fmt: skip


@inlined(no_refcount=True)
def mix(h, base, first, count, keys, sizes, options, value, projected, weights, output):
    """Add the weighted values of one head to its output."""
    if options.value_lanes:
        mix_lanes(h, base, first, count, keys, sizes, options, value, projected, weights, output)
    else:
        mix_loop(h, base, first, count, keys, sizes, options, value, projected, weights, output)


@inlined(no_refcount=True)
def value_products(
    h, base, first, count, keys, sizes, options, value, projected, doutput, products
):
    """Write the inner product of one head's output gradient and each value."""
    if options.value_lanes:
        value_product_lanes(
            h, base, first, count, keys, sizes, options, value, projected, doutput, products
        )
    else:
        value_product_loop(
            h, base, first, count, keys, sizes, options, value, projected, doutput, products
        )


@inlined(no_refcount=True)
def value_gradient(h, base, first, count, keys, sizes, options, weights, doutput, dvalue):
    """Add one head's weighted output gradient to the gradients of the values."""
    if options.value_lanes:
        value_gradient_lanes(h, base, first, count, keys, sizes, options, weights, doutput, dvalue)
    else:
        value_gradient_loop(h, base, first, count, keys, sizes, options, weights, doutput, dvalue)
