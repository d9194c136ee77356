"""The additive pair on a CPU: gradients of query, key and vector from those of the scores.

With r = 1/(1 + AB) as in the forward pass, 1 − tanh² = 4r(1 − r). A pair's gradients are sums over one side each, so a
block of queries and a tile of keys collect theirs in scratch. The vector's gradient sums g(1 − 2r) over a few keys at
a time: Σg − 2Σgr over all of them would cancel.
"""

from __future__ import annotations

import math

from heedful.ops.kernels.additive_forward import (
    LANES,
    LEAKY,
    ROWS,
    SUMS,
    TANH,
    padded_size,
    raised,
)
from heedful.ops.kernels.exponential import exponential
from heedful.ops.kernels.runtime import inlined, kernel

KEYS, FEATURES = 32, 256


@inlined(fastmath=SUMS)
def factored_gradients(query, keys, upstream, count, width, query_sum, key_sums, vector_sum, one):
    """Add one query's gradients against the keys of a tile, four at a time; the last four may be padded by 0."""
    two = one + one
    for k in range(0, count, 4):
        g0, g1, g2, g3 = upstream[k], upstream[k + 1], upstream[k + 2], upstream[k + 3]
        b, into = keys[k : k + 4], key_sums[k : k + 4]
        all_four = g0 + g1 + g2 + g3
        for h in range(width):
            a = query[h]
            r0, r1 = one / (one + a * b[0, h]), one / (one + a * b[1, h])
            r2, r3 = one / (one + a * b[2, h]), one / (one + a * b[3, h])
            p0, p1, p2, p3 = g0 * r0, g1 * r1, g2 * r2, g3 * r3
            s0, s1, s2, s3 = p0 - p0 * r0, p1 - p1 * r1, p2 - p2 * r2, p3 - p3 * r3
            into[0, h] += s0
            into[1, h] += s1
            into[2, h] += s2
            into[3, h] += s3
            query_sum[h] += s0 + s1 + s2 + s3
            vector_sum[h] += all_four - two * (p0 + p1 + p2 + p3)


@inlined(fastmath=SUMS)
def rectified_gradients(query, key, g, width, query_sum, key_sum, vector_sum, one):
    """The same for one key under the leaky rectifier."""
    slope = one / (one + one + one + one + one)
    for h in range(width):
        x = query[h] + key[h]
        s = g if x > one - one else g * slope
        query_sum[h] += s
        key_sum[h] += s
        vector_sum[h] += s * x


@inlined(fastmath=SUMS)
def direct_gradients(query, key, g, kind, query_sum, key_sum, vector_sum, one):
    """The same for one key under tanh, whatever the size of the numbers."""
    two = one + one
    for h in range(len(query)):
        x = query[h] + key[h]
        r = one / (one + (exponential(x + x) if kind == TANH else math.exp(x + x)))
        p = g * r
        s = p - p * r
        query_sum[h] += s
        key_sum[h] += s
        vector_sum[h] += g - two * p


def backward_sizes(queries: int, keys: int, hidden: int) -> tuple[int, int, int, int]:
    """How many rows, keys and features the blocks of a call have, and how many numbers of scratch a part needs."""
    rows, tile = min(ROWS, queries), min(KEYS, -(-keys // 4) * 4)
    features = min(FEATURES, -(-hidden // LANES) * LANES)
    return rows, tile, features, (2 * rows + 2 * tile + 1) * features + rows + tile


@inlined(fastmath=SUMS)
def backward_blocks(scratch, rows, keys, features):
    """Cut a part's scratch into rows and their sums, keys and their sums, the vector's sum, marks and gradients."""
    of_rows, of_keys = rows * features, keys * features
    rest = scratch[2 * of_rows + 2 * of_keys :]
    return (
        scratch[:of_rows].reshape((rows, features)),
        scratch[of_rows : 2 * of_rows].reshape((rows, features)),
        scratch[2 * of_rows : 2 * of_rows + of_keys].reshape((keys, features)),
        scratch[2 * of_rows + of_keys : 2 * of_rows + 2 * of_keys].reshape((keys, features)),
        rest[:features],
        rest[features : features + rows],
        rest[features + rows : features + rows + keys],
    )


@inlined(fastmath=SUMS)
def tile_gradients(
    query, key, at, strides, rows, count, features, kind, tile_small, upstream, blocks
):
    """Add the gradients of a block of queries against a tile of keys to the sums in scratch."""
    raised_rows, row_sums, tile, key_sums, vector_sum, small, given = blocks
    one = query.dtype.type(1)
    width = padded_size(features)
    given[:] = one - one
    for q in range(rows):
        given[:count] = upstream[q, :count]
        if kind == LEAKY:
            for k in range(count):
                rectified_gradients(
                    raised_rows[q],
                    tile[k],
                    given[k],
                    width,
                    row_sums[q],
                    key_sums[k],
                    vector_sum,
                    one,
                )
        elif tile_small and small[q] > 0:
            factored_gradients(
                raised_rows[q], tile, given, count, width, row_sums[q], key_sums, vector_sum, one
            )
        else:
            begin = at[0] + q * strides[0]
            a = query[begin : begin + features]
            for k in range(count):
                b = key[at[1] + k * strides[1] : at[1] + k * strides[1] + features]
                direct_gradients(a, b, given[k], kind, row_sums[q], key_sums[k], vector_sum, one)


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
    raised_rows, row_sums, tile, key_sums, share, small, _ = blocks
    one = vector.dtype.type(1)
    four = one if kind == LEAKY else one + one + one + one
    hidden, keys = len(vector), upstream.shape[1]
    most_keys, most_features = tile.shape
    for first in range(0, hidden, most_features):
        features = min(most_features, hidden - first)
        share[:] = one - one
        for q in range(rows):
            begin = at[0] + q * strides[0] + first
            one_row, one_sum = raised_rows[q : q + 1], row_sums[q : q + 1]
            is_small = raise_rows(query, begin, 0, 1, features, kind, limit, one_row, one_sum)
            small[q] = one if is_small else one - one
        weights = vector[first : first + features]
        for column in range(0, keys, most_keys):
            count = min(most_keys, keys - column)
            place = (at[0] + first, at[1] + column * strides[1] + first)
            tile[:] = one - one
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
                        into[first + h] += four * weights[h] * key_sums[k, h]
                else:
                    for h in range(features):
                        into[first + h] = four * weights[h] * key_sums[k, h]
        for q in range(rows):
            for h in range(features):
                query_sum[q, first + h] = four * weights[h] * row_sums[q, h]
        for h in range(features):
            vector_sum[first + h] = share[h] if fresh else vector_sum[first + h] + share[h]


@kernel(fastmath=SUMS)
def additive_backward(
    part, parts, query, key, vector, places, query_stride, key_stride, kind, limit,
    block_rows, block_keys, block_features, by_unit, upstream, query_sum, key_sum, vector_sum, scratch,
):  # fmt: skip
    """Fill the sums: query's (units, queries, hidden), key's (copies, units, keys, hidden), vector's without keys.

    `by_unit`: a part does whole units, and there is one copy. Otherwise it does its rows of every unit, and each part
    has a copy of its own; there must be as many rows as parts.
    """
    units, queries, _ = upstream.shape
    blocks = backward_blocks(scratch[part], block_rows, block_keys, block_features)
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
