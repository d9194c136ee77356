# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The loops over features of the kernels for graphs, for heads of a multiple of 16 features.

They take sixteen features at a time, and of these all edges of a block: what belongs to the query stays in registers.
Arguments and results are those of the functions of the same names in `edges_pair`, which take any number.
"""

from __future__ import annotations

from heedful.ops.backends.additive.scores_forward import LANES
from heedful.ops.backends.edges.pair import (
    DOT,
    LEAKY_RELU,
    head_gradient,
    mix_head,
    reach_head,
    row_at,
    score_head,
    spread_head,
)
from heedful.ops.jit.kernel import (
    inlined,
    load,
    spread,
    store,
    stretch,
    sum_of,
    where_positive,
)


@inlined(borrows=True)
def score_in_lanes(h, base, first, count, keys, sizes, how, query, key, vector, scores):
    """Scores of one head of some edges."""
    _, _, _, heads, width, _, extra = sizes
    kind, slope = how[0], how[1]
    one = query.dtype.type(1)
    for c in range(h * width, (h + 1) * width, LANES):
        ours = load(query, c)
        weights = ours if kind == DOT else load(vector, c)
        for e in range(count):
            if extra > 0:
                theirs = load(key, e * heads * width + c)
            else:
                theirs = load(key, row_at(base, first + e, keys, heads * width, c))
            if kind == DOT:
                total = sum_of(ours * theirs)
            elif kind == LEAKY_RELU:
                hidden = ours + theirs
                total = sum_of(weights * where_positive(hidden, hidden, hidden * slope))
            else:
                rest = one / (ours * theirs + one)
                total = sum_of(weights * (one - rest - rest))
            scores[e] = total if c == h * width else scores[e] + total


@inlined(borrows=True)
def gradient_in_lanes(h, base, first, count, keys, sizes, how, changes, given, sums):
    """Add what changes of the scores of one head of some edges ask of query, key and vector."""
    _, _, _, heads, width, _, extra = sizes
    kind, slope, _, guarded = how[:4]
    query, key, vector = given
    one, zero = query.dtype.type(1), query.dtype.type(0)
    for c in range(h * width, (h + 1) * width, LANES):
        ours, dours = load(query, c), load(sums[0], c)
        weights = ours if kind == DOT else load(vector, c)
        bent = spread(zero)
        for e in range(count):
            change = changes[e]
            if guarded and change == 0:
                continue
            if extra > 0:
                theirs, dtheirs = (
                    stretch(key, e * heads * width + c),
                    stretch(sums[1], e * heads * width + c),
                )
            else:
                theirs = stretch(key, row_at(base, first + e, keys, heads * width, c))
                dtheirs = stretch(sums[1], row_at(base, first + e, keys, heads * width, c))
            if kind == DOT:
                dours = dours + load(theirs, 0) * change
                inner = ours * change
            elif kind == LEAKY_RELU:
                hidden = ours + load(theirs, 0)
                inner = weights * where_positive(hidden, change, change * slope)
                bent = bent + where_positive(hidden, hidden, hidden * slope) * change
                dours = dours + inner
            else:
                rest = one / (ours * load(theirs, 0) + one)
                value = one - rest - rest
                inner = weights * ((value + one) * (rest + rest)) * change
                bent = bent + value * change
                dours = dours + inner
            store(dtheirs, 0, load(dtheirs, 0) + inner)
        store(sums[0], c, dours)
        if kind != DOT:
            store(sums[2], c, load(sums[2], c) + bent)


@inlined(borrows=True)
def mix_in_lanes(h, base, first, count, keys, sizes, how, value, projected, weights, mean):
    """Add the values of one head of some edges, weighted."""
    heads, mixed = sizes[3], sizes[5]
    for c in range(h * mixed, (h + 1) * mixed, LANES):
        total = load(mean, c)
        for e in range(count):
            weight = weights[e]
            if how[3] and weight == 0:
                continue
            total = total + load(value, row_at(base, first + e, keys, heads * mixed, c)) * weight
            if how[2]:
                total = total + load(projected, e * heads * mixed + c) * weight
        store(mean, c, total)


@inlined(borrows=True)
def reach_in_lanes(h, base, first, count, keys, sizes, how, value, projected, direction, reached):
    """Inner products of the output's gradient and the values of one head of some edges."""
    heads, mixed = sizes[3], sizes[5]
    for c in range(h * mixed, (h + 1) * mixed, LANES):
        ours = load(direction, c)
        for e in range(count):
            theirs = load(value, row_at(base, first + e, keys, heads * mixed, c))
            if how[2]:
                theirs = theirs + load(projected, e * heads * mixed + c)
            total = sum_of(ours * theirs)
            reached[e] = total if c == h * mixed else reached[e] + total


@inlined(borrows=True)
def spread_in_lanes(h, base, first, count, keys, sizes, how, weights, direction, dvalue):
    """Add the output's gradient, weighted, to the values' gradients of one head of some edges."""
    heads, mixed = sizes[3], sizes[5]
    for c in range(h * mixed, (h + 1) * mixed, LANES):
        ours = load(direction, c)
        for e in range(count):
            if how[3] and weights[e] == 0:
                continue
            theirs = stretch(dvalue, row_at(base, first + e, keys, heads * mixed, c))
            store(theirs, 0, load(theirs, 0) + ours * weights[e])


@inlined(borrows=True)
def score(h, base, first, count, keys, sizes, how, query, key, vector, scores):
    """Scores of one head of some edges."""
    if how[5]:
        score_in_lanes(h, base, first, count, keys, sizes, how, query, key, vector, scores)
    else:
        score_head(h, base, first, count, keys, sizes, how, query, key, vector, scores)


@inlined(borrows=True)
def gradient(h, base, first, count, keys, sizes, how, changes, given, sums):
    """Add what changes of the scores of one head of some edges ask of query, key and vector."""
    if how[5]:
        gradient_in_lanes(h, base, first, count, keys, sizes, how, changes, given, sums)
    else:
        head_gradient(h, base, first, count, keys, sizes, how, changes, given, sums)


@inlined(borrows=True)
def mix(h, base, first, count, keys, sizes, how, value, projected, weights, mean):
    """Add the values of one head of some edges, weighted."""
    if how[6]:
        mix_in_lanes(h, base, first, count, keys, sizes, how, value, projected, weights, mean)
    else:
        mix_head(h, base, first, count, keys, sizes, how, value, projected, weights, mean)


@inlined(borrows=True)
def reach(h, base, first, count, keys, sizes, how, value, projected, direction, reached):
    """Inner products of the output's gradient and the values of one head of some edges."""
    if how[6]:
        reach_in_lanes(
            h, base, first, count, keys, sizes, how, value, projected, direction, reached
        )
    else:
        reach_head(h, base, first, count, keys, sizes, how, value, projected, direction, reached)


@inlined(borrows=True)
def distribute(h, base, first, count, keys, sizes, how, weights, direction, dvalue):
    """Add the output's gradient, weighted, to the values' gradients of one head of some edges."""
    if how[6]:
        spread_in_lanes(h, base, first, count, keys, sizes, how, weights, direction, dvalue)
    else:
        spread_head(h, base, first, count, keys, sizes, how, weights, direction, dvalue)
