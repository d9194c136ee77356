# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The additive pair on a CPU: gradients of query, key and vector from those of the scores.

A pair's gradients are sums over one side each, so a block of queries and a tile of keys collect theirs in scratch. As
in the forward pass t = tanh(a + b) = 1 − 2/(1 + AB), and two queries share a division:
1/c = d · 1/(cd), 1/d = c · 1/(cd). The vector's gradient is Σgt, those of the others sum g(1 − t²).
"""

from __future__ import annotations

import math

from heedful.ops.backends.additive.scores_forward import (
    LANES,
    LEAKY,
    ROWS,
    SUMS,
    TANH,
    padded_size,
    raised,
)
from heedful.ops.jit.exponential import exponential
from heedful.ops.jit.kernel import (
    inlined,
    kernel,
    load,
    spread,
    store,
    stretch,
    where_positive,
)

KEYS, FEATURES = 64, 128


@inlined(fastmath=SUMS, borrows=True)
def factored_gradients(rows, sums, pair, tile, key_sums, upstream, count, width, vector_sum, one):
    """Add the gradients of a pair of queries against the keys of a tile, sixteen features at a time."""
    stride = tile.shape[1]
    first, second = pair[0] * stride, pair[1] * stride
    ones, zero, minus_two = spread(one), spread(one - one), spread(-one - one)
    for h in range(0, width, LANES):
        a0, a1 = load(rows, first + h), load(rows, second + h)
        sum0, sum1, bent = zero, zero, zero
        for k in range(count):
            g0, g1 = stretch(upstream[0], k)[0], stretch(upstream[1], k)[0]
            at = k * stride + h
            b = load(tile, at)
            d0, d1 = ones + a0 * b, ones + a1 * b
            rest = minus_two / (d0 * d1)
            t0, t1 = ones + rest * d1, ones + rest * d0
            p0, p1 = t0 * g0, t1 * g1
            s0, s1 = spread(g0) - p0 * t0, spread(g1) - p1 * t1
            store(key_sums, at, load(key_sums, at) + (s0 + s1))
            sum0 += s0
            sum1 += s1
            bent += p0 + p1
        store(sums, first + h, load(sums, first + h) + sum0)
        store(sums, second + h, load(sums, second + h) + sum1)
        store(vector_sum, h, load(vector_sum, h) + bent)


@inlined(fastmath=SUMS, borrows=True)
def rectified_gradients(rows, sums, q, tile, key_sums, upstream, count, width, vector_sum, one):
    """The same for one query under the leaky rectifier."""
    stride = tile.shape[1]
    slope = one / (one + one + one + one + one)
    for h in range(0, width, LANES):
        a = load(rows, q * stride + h)
        total, bent = load(sums, q * stride + h), load(vector_sum, h)
        for k in range(count):
            g = stretch(upstream[0], k)[0]
            at = k * stride + h
            x = a + load(tile, at)
            s = where_positive(x, g, g * slope)
            store(key_sums, at, load(key_sums, at) + s)
            total += s
            bent += s * x
        store(sums, q * stride + h, total)
        store(vector_sum, h, bent)


@inlined(fastmath=SUMS)
def direct_gradients(query, key, g, kind, query_sum, key_sum, vector_sum, one):
    """The same for one key under tanh, whatever the size of the numbers."""
    two = one + one
    four = two + two
    for h in range(len(query)):
        x = query[h] + key[h]
        r = one / (one + (exponential(x + x) if kind == TANH else math.exp(x + x)))
        p = g * r
        s = four * (p - p * r)
        query_sum[h] += s
        key_sum[h] += s
        vector_sum[h] += g - two * p


def backward_sizes(queries: int, keys: int, hidden: int) -> tuple[int, int, int, int]:
    """How many rows, keys and features the blocks of a call have, and how many numbers of scratch a part needs."""
    rows, tile = min(ROWS, queries), min(KEYS, keys)
    features = min(FEATURES, -(-hidden // LANES) * LANES)
    return rows, tile, features, features + rows + 2 * tile


@inlined(fastmath=SUMS)
def backward_blocks(scratch, rows, tiles):
    """Add to rows and keys raised and their sums: the vector's sum, the rows' marks and two rows of gradients."""
    keys, features = tiles.shape[1:]
    marks = scratch[features : len(scratch) - 2 * keys]
    given = scratch[len(scratch) - 2 * keys :]
    return (
        rows[0],
        rows[1],
        tiles[0],
        tiles[1],
        scratch[:features],
        marks,
        given[:keys],
        given[keys:],
    )


@inlined(fastmath=SUMS)
def tile_gradients(
    query, key, at, strides, rows, count, features, kind, tile_small, upstream, blocks
):
    """Add the gradients of a block of queries against a tile of keys to the sums in scratch."""
    raised_rows, row_sums, tile, key_sums, vector_sum, small, given, other = blocks
    one = query.dtype.type(1)
    width = padded_size(features)
    q, alone = 0, len(raised_rows) - 1
    while q < rows:
        for k in range(count):
            given[k] = upstream[q, k]
        step = 1
        if kind == LEAKY:
            rectified_gradients(
                raised_rows, row_sums, q, tile, key_sums, (given,), count, width, vector_sum, one
            )
        elif tile_small and small[q] > 0:
            pair = (q, alone)
            if q + 1 < rows and small[q + 1] > 0:
                pair, step = (q, q + 1), 2
            for k in range(count):
                other[k] = upstream[q + 1, k] if step == 2 else one - one
            factored_gradients(
                raised_rows, row_sums, pair, tile, key_sums, (given, other), count, width, vector_sum, one
            )  # fmt: skip
        else:
            begin = at[0] + q * strides[0]
            a = query[begin : begin + features]
            for k in range(count):
                b = key[at[1] + k * strides[1] : at[1] + k * strides[1] + features]
                direct_gradients(a, b, given[k], kind, row_sums[q], key_sums[k], vector_sum, one)
        q += step


@inlined(fastmath=SUMS)
def raise_rows(flat, start, stride, count, features, kind, limit, rows, sums):
    """Raise some tokens' features, padded by 0, and clear their sums; whether all are small enough."""
    small = True
    width = padded_size(features)
    zero = flat.dtype.type(0)
    for i in range(count):
        rows[i, features:width] = zero
        small &= raised(
            flat[start + i * stride : start + i * stride + features], limit, kind, rows[i]
        )
        sums[i, :width] = zero
    return small


@inlined(fastmath=SUMS)
def block_gradients(
    query, key, vector, at, strides, rows, kind, limit, fresh, upstream,
    query_sum, key_sum, vector_sum, blocks,
):  # fmt: skip
    """Gradients of some queries, and their share of those of all keys and of the vector: added, or written if fresh."""
    raised_rows, row_sums, tile, key_sums, share, small, _, _ = blocks
    one = vector.dtype.type(1)
    hidden, keys = len(vector), upstream.shape[1]
    most_keys, most_features = tile.shape
    for first in range(0, hidden, most_features):
        features = min(most_features, hidden - first)
        share[:] = one - one
        raised_rows[len(raised_rows) - 1] = one - one
        for q in range(rows):
            begin = at[0] + q * strides[0] + first
            one_row, one_sum = raised_rows[q : q + 1], row_sums[q : q + 1]
            is_small = raise_rows(query, begin, 0, 1, features, kind, limit, one_row, one_sum)
            small[q] = one if is_small else one - one
        weights = vector[first : first + features]
        for column in range(0, keys, most_keys):
            count = min(most_keys, keys - column)
            place = (at[0] + first, at[1] + column * strides[1] + first)
            is_small = raise_rows(
                key, place[1], strides[1], count, features, kind, limit, tile, key_sums
            )
            given = upstream[:, column : column + count]
            tile_gradients(
                query, key, place, strides, rows, count, features, kind, is_small, given, blocks
            )
            for k in range(count):
                into = key_sum[column + k]
                if not fresh:
                    for h in range(features):
                        into[first + h] += weights[h] * key_sums[k, h]
                else:
                    for h in range(features):
                        into[first + h] = weights[h] * key_sums[k, h]
        for q in range(rows):
            for h in range(features):
                query_sum[q, first + h] = weights[h] * row_sums[q, h]
        for h in range(features):
            vector_sum[first + h] = share[h] if fresh else vector_sum[first + h] + share[h]


@kernel(fastmath=SUMS)
def additive_backward(
    part, parts, query, key, vector, places, query_stride, key_stride, kind, limit,
    block_rows, by_unit, upstream, query_sum, key_sum, vector_sum, scratch, raised_rows, tiles,
):  # fmt: skip
    """Fill the sums: query's (units, queries, hidden), key's (copies, units, keys, hidden), vector's without keys.

    `by_unit`: a part does whole units, and there is one copy. Otherwise it does its rows of every unit, and each part
    has a copy of its own; there must be as many rows as parts.
    """
    units, queries, _ = upstream.shape
    blocks = backward_blocks(scratch[part], raised_rows[part], tiles[part])
    if by_unit:
        first, last, start, stop, copy = (
            units * part // parts,
            units * (part + 1) // parts,
            0,
            queries,
            0,
        )
    else:
        first, last, copy = 0, units, part
        start, stop = queries * part // parts, queries * (part + 1) // parts
    for unit in range(first, last):
        for row in range(start, stop, block_rows):
            rows = min(block_rows, stop - row)
            block_gradients(
                query, key, vector[places[unit, 2]],
                (places[unit, 0] + row * query_stride, places[unit, 1]), (query_stride, key_stride),
                rows, kind, limit, row == start, upstream[unit, row : row + rows],
                query_sum[unit, row : row + rows], key_sum[copy, unit], vector_sum[copy, unit], blocks,
            )  # fmt: skip
