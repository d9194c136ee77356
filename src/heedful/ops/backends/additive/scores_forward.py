# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The additive pair on a CPU: scores of a block of queries against tiles of keys.

Features are raised to A = e^{2a} and B = e^{2b} once a token of a block; a pair then costs a multiply-add, a division
and a multiply-add, since tanh(a + b) = 1 − 2/(1 + AB). Two features share a division:
v/c + w/d = (vd + wc)/(cd), which holds to rounding as long as cd does not overflow. Rows and tiles that hold anything
larger than `LIMITS` (or NaN), and blocks of so few queries that raising the keys would cost as much as the pairs, sum
a + b first and raise the sum.
"""

from __future__ import annotations

import math

from heedful.ops.jit.exponential import LOWEST as LOWEST
from heedful.ops.jit.exponential import exponential as exponential
from heedful.ops.jit.kernel import inlined, kernel, load, spread, store, stretch

# Sums may be reordered; a division stays a division, for an estimate of 1/∞ would be refined to NaN.
SUMS = frozenset({"contract", "reassoc", "nsz"})

TANH, TANH_WIDE, LEAKY = 0, 1, 2
"""What a kernel is told to do: tanh in float32 or in float64, or the leaky rectifier."""
LIMITS = {TANH: 10.0, TANH_WIDE: 85.0, LEAKY: math.inf}
# With them the product of two 1 + AB, by which two features share a division, does not overflow.
# Beyond which a product of v with 1 + AB might overflow.
LARGEST_VECTOR = 1000.0

# Sizes of the blocks: a tile of keys × features stays in the inner caches, and every size is a multiple of LANES.
LANES = 16
ROWS, KEYS, FEATURES = 256, 64, 128
FEW_ROWS = 4


def forward_sizes(queries: int, keys: int, hidden: int) -> tuple[int, int, int, int]:
    """How many rows, keys and features the blocks of a call have, and how many numbers of scratch a part needs."""
    if queries < FEW_ROWS:
        return 1, 1, 1, 5
    rows, width, features = (
        min(most, -(-size // step) * step)
        for most, size, step in (
            (ROWS, queries, LANES),
            (KEYS, keys, 2 * LANES),
            (FEATURES, hidden, LANES),
        )
    )
    return rows, width, features, 4 * features + rows + width


@inlined(fastmath=SUMS)
def raised(row, limit, kind, out):
    """Write e^{2x} of a row, or the row itself for a rectifier; whether the numbers are small enough for that."""
    small = True
    for i in range(len(row)):
        small &= abs(row[i]) <= limit
    if kind == TANH:
        for i in range(len(row)):
            out[i] = exponential(row[i] + row[i])
    elif kind == TANH_WIDE:
        for i in range(len(row)):
            out[i] = math.exp(row[i] + row[i])
    else:
        for i in range(len(row)):
            out[i] = row[i]
    return small


@inlined(fastmath=SUMS)
def rectified(x, slope):
    """Leaky ReLU."""
    return x if x > x * slope else x * slope


@inlined(fastmath=SUMS)
def direct_score(query, key, vector, kind, one):
    """Σ_h v_h φ(a_h + b_h) of one pair, whatever the size of the numbers."""
    half, slope = one / (one + one), one / (one + one + one + one + one)
    total = one - one
    if kind == TANH:
        for h in range(len(query)):
            x = query[h] + key[h]
            total += vector[h] * (half - one / (one + exponential(x + x)))
        total += total
    elif kind == TANH_WIDE:
        for h in range(len(query)):
            total += vector[h] * math.tanh(query[h] + key[h])
    else:
        for h in range(len(query)):
            total += vector[h] * rectified(query[h] + key[h], slope)
    return total


@inlined(fastmath=SUMS, borrows=True)
def two_terms(a0, a1, v0, v1, both, b0, b1, ones):
    """Σ v_h (1 − 2/(1 + A_h B_h)) of two features by one division; v comes doubled, and `both` is the sum of both."""
    d0, d1 = ones + a0 * b0, ones + a1 * b1
    return both - (v0 * d1 + v1 * d0) / (d0 * d1)


@inlined(fastmath=SUMS, borrows=True)
def number(array, place):
    """An element sixteen times."""
    return spread(stretch(array, place)[0])


@inlined(fastmath=SUMS, borrows=True)
def factored_row(query, tile, doubled, features, width, total, one):
    """Σ_h v_h tanh(a_h + b_hk) for every key of a tile: (features,), (features, keys) -> (keys,)."""
    keys, stride = tile[0], tile.shape[1]
    ones, zero = spread(one), spread(one - one)
    for k in range(0, width, 2 * LANES):
        left, right = zero, zero
        for h in range(0, features, 2):
            a0, a1 = number(query, h), number(query, h + 1)
            v0, v1 = number(doubled, h), number(doubled, h + 1)
            both = number(doubled, features + h)
            at = h * stride + k
            b0, b1 = load(keys, at), load(keys, at + stride)
            left += two_terms(a0, a1, v0, v1, both, b0, b1, ones)
            b0, b1 = load(keys, at + LANES), load(keys, at + stride + LANES)
            right += two_terms(a0, a1, v0, v1, both, b0, b1, ones)
        store(total, k, left)
        store(total, k + LANES, right)


@inlined(fastmath=SUMS)
def rectified_row(query, keys, vector, features, width, total, one):
    """Σ_h v_h LeakyReLU(a_h + b_hk) for every key of a tile."""
    slope = one / (one + one + one + one + one)
    total[:width] = one - one
    for h in range(0, features, 4):
        b = keys[h : h + 4]
        a0, a1, a2, a3 = query[h], query[h + 1], query[h + 2], query[h + 3]
        v0, v1, v2, v3 = vector[h], vector[h + 1], vector[h + 2], vector[h + 3]
        for k in range(width):
            upper = v0 * rectified(a0 + b[0, k], slope) + v1 * rectified(a1 + b[1, k], slope)
            lower = v2 * rectified(a2 + b[2, k], slope) + v3 * rectified(a3 + b[3, k], slope)
            total[k] += upper + lower


@inlined(fastmath=SUMS)
def tile_of_keys(key, start, stride, keys, features, kind, limit, row, tile):
    """Raise some keys' features into a tile (features, keys); whether all are small enough for that."""
    small = True
    padded, width = padded_size(features), 2 * padded_size((keys + 1) // 2)
    tile[:padded, :width] = key.dtype.type(0)
    for k in range(keys):
        at = start + k * stride
        small &= raised(key[at : at + features], limit, kind, row)
        for h in range(features):
            tile[h, k] = row[h]
    return small


@inlined(fastmath=SUMS)
def padded_size(size):
    """The next multiple of LANES: what is computed beyond the size is never read."""
    return (size + LANES - 1) // LANES * LANES


@inlined(fastmath=SUMS)
def chunk_of_vector(vector, weights, doubled, padded):
    """Lay out some features of the vector, padded by zeros: itself, then doubled with the sums of two neighbours.

    Returns whether all are small enough for two features to share a division.
    """
    zero = vector.dtype.type(0)
    small = True
    for h in range(padded):
        weights[h] = vector[h] if h < len(vector) else zero
        small &= abs(weights[h]) <= LARGEST_VECTOR
        doubled[h] = weights[h] + weights[h]
    for h in range(0, padded, 2):
        doubled[padded + h] = weights[h] + weights[h + 1]
    return small


@inlined(fastmath=SUMS)
def block_scores(query, key, vector, at, strides, rows, kind, limit, scores, scratch):
    """Scores of some queries of one unit against all its keys, tile by tile; `at` tells where its features begin."""
    raised_rows, small, tile, row, weights, doubled, total = scratch
    one = vector.dtype.type(1)
    hidden, keys = len(vector), scores.shape[1]
    most_features, most_keys = tile.shape
    for first in range(0, hidden, most_features):
        features = min(most_features, hidden - first)
        padded = padded_size(features)
        vector_small = chunk_of_vector(vector[first : first + features], weights, doubled, padded)
        raised_rows[:, :padded] = one - one
        for q in range(rows):
            begin = at[0] + q * strides[0] + first
            is_small = raised(query[begin : begin + features], limit, kind, raised_rows[q])
            small[q] = one if is_small else one - one
        for column in range(0, keys, most_keys):
            count = min(most_keys, keys - column)
            begin = at[1] + column * strides[1] + first
            tile_small = tile_of_keys(
                key, begin, strides[1], count, features, kind, limit, row, tile
            )
            for q in range(rows):
                a = raised_rows[q]
                if kind == LEAKY:
                    rectified_row(a, tile, weights, padded, padded_size(count), total, one)
                elif tile_small and vector_small and small[q] > 0:
                    width = 2 * padded_size((count + 1) // 2)
                    factored_row(a, tile, doubled, padded, width, total, one)
                else:
                    start = at[0] + q * strides[0] + first
                    a = query[start : start + features]
                    for k in range(count):
                        b = key[begin + k * strides[1] : begin + k * strides[1] + features]
                        total[k] = direct_score(a, b, weights, kind, one)
                # written as loops: to assign a slice to a slice takes Numba's run-time, and so its import
                into = scores[q]
                for k in range(count):
                    into[column + k] = total[k] if first == 0 else into[column + k] + total[k]


@inlined(fastmath=SUMS)
def few_scores(query, key, vector, at, strides, rows, kind, scores):
    """The same for so few queries that raising the keys once would not pay."""
    one = vector.dtype.type(1)
    hidden = len(vector)
    for q in range(rows):
        begin = at[0] + q * strides[0]
        a = query[begin : begin + hidden]
        for k in range(scores.shape[1]):
            begin = at[1] + k * strides[1]
            scores[q, k] = direct_score(a, key[begin : begin + hidden], vector, kind, one)


@inlined(fastmath=SUMS)
def forward_blocks(scratch, raised_rows, tile):
    """Add to rows raised and a tile of keys: the rows' marks, a row, the vector's chunk, that doubled, and totals."""
    rows, features = raised_rows.shape
    rest = scratch[rows:]
    return (
        raised_rows,
        scratch[:rows],
        tile,
        rest[:features],
        rest[features : 2 * features],
        rest[2 * features : 4 * features],
        rest[4 * features :],
    )


@kernel(fastmath=SUMS)
def additive_forward(
    part, parts, query, key, vector, places, query_stride, key_stride, kind, limit,
    block_rows, scores, scratch, raised_rows, tiles,
):  # fmt: skip
    """Fill scores (units, queries, keys); unit u's features begin at places[u] of the flat query and key.

    `places` is (units, 3): where the unit's queries and keys begin, and its row of vector (vectors, hidden).
    Each part takes an equal share of all rows, in their order.
    """
    units, queries, _ = scores.shape
    blocks = forward_blocks(scratch[part], raised_rows[part], tiles[part])
    first, last = units * queries * part // parts, units * queries * (part + 1) // parts
    for unit in range(first // queries, (last + queries - 1) // queries):
        start, stop = (
            max(first - unit * queries, 0),
            min(last - unit * queries, queries),
        )
        weights = vector[places[unit, 2]]
        for row in range(start, stop, block_rows):
            rows = min(block_rows, stop - row)
            at = (places[unit, 0] + row * query_stride, places[unit, 1])
            block = scores[unit, row : row + rows]
            if rows < FEW_ROWS:
                few_scores(
                    query,
                    key,
                    weights,
                    at,
                    (query_stride, key_stride),
                    rows,
                    kind,
                    block,
                )
            else:
                block_scores(
                    query, key, weights, at, (query_stride, key_stride), rows, kind, limit, block, blocks
                )  # fmt: skip
