# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The additive pair Σ_h v_h φ(a_h + b_h) in lanes of 16: exponentials of features, scores and gradients of tiles.

φ is tanh if `slope` is None, otherwise the leaky ReLU with that slope. Numba compiles a separate kernel for the type of
None, so no loop branches on it. All functions support float32 and float64.

For tanh the exponentials Â = e^{-2a} of a query and B = e^{2b} of a key are computed once per token. Then
tanh(a + b) = 1 − 2Â/(Â + B) = (B − Â)/(B + Â). This takes one addition where e^{2a}·e^{2b} + 1 takes a multiplication,
and it overflows later. In scores two features share a division, v/c + w/d = (vd + wc)/(cd). In gradients each pair has
its own division, which costs less than the multiplications that sharing needs. Tokens with a feature beyond `LIMITS` or
NaN, and vectors beyond `LARGEST_VECTOR`, use the direct path: the exponential of a + b for each pair.

The leaky ReLU needs no exponentials: the "features" of its queries and keys are plain copies.

A tile holds `KEYS` keys in blocks of 16 features, (features / 16, KEYS, 16), with a stride of `BLOCK` elements between
blocks. A stride that is a power of two would map the blocks to few cache sets. A transposed tile is (features, KEYS).
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.jit.kernel import (
    exp_or_zero,
    inlined,
    load,
    offset_view,
    reduce_sum,
    select_positive,
    splat,
    store,
    transpose_block,
)
from heedful.ops.jit.source import LANES

SUMS = frozenset({"contract", "reassoc", "nsz"})
"""Fast-math flags: sums may be reordered. Approximate division is off: refining an estimate of 1/∞ gives NaN."""
KEYS = 64
BLOCK = KEYS * LANES + LANES
FEW_ROWS = 4
"""With fewer queries in a block, the tile of keys is not transposed: the cost is not amortised."""
FEATURES = 128
"""Number of features of a transposed tile processed for all rows at a time, so that they stay in the L1 cache."""
ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
LIMITS = 19.0, 170.0
"""(float32, float64) limit of |a| of a query, below which Â is used."""
LARGEST_KEYS = 3e16, 1e147
"""(float32, float64) limit of the sum of B of a key.

Within both limits and `LARGEST_VECTOR`, 2vÂ(Â + B) and (Â + B)² do not overflow.
"""
LARGEST_VECTOR = 1000.0

tile_function = inlined(fastmath=SUMS, no_refcount=True)
"""Decorator of the inlined helpers of the additive kernels."""


@tile_function
def padded_size(size):
    """Round up to a multiple of LANES."""
    return (size + LANES - 1) // LANES * LANES


@tile_function
def limit_for(array, limits):
    """The limit for the dtype of the array, from a pair (float32, float64)."""
    return array.dtype.type(limits[1] if array.itemsize > 4 else limits[0])


@tile_function
def number(array, place):
    """Broadcast an element to all lanes of a vector register."""
    return splat(offset_view(array, place)[0])


@tile_function
def is_small(source, begin, count, limit):
    """Whether every |x| of `count` elements is below the limit; False for NaN."""
    many, most = splat(source.dtype.type(0)), splat(limit)
    whole = count // LANES * LANES
    for h in range(begin, begin + whole, LANES):
        x = load(source, h)
        many += select_positive(most - x, ZERO, ONE) + select_positive(x + most, ZERO, ONE)
    large = reduce_sum(many) > ZERO
    for h in range(begin + whole, begin + count):
        large |= not abs(source[h]) < limit
    return not large


# Exponentials of features


@tile_function
def exponential(x, sign, slope):
    """e^{sign·x} for tanh, x for the leaky ReLU."""
    if slope is None:
        return exp_or_zero(x * sign)
    return x


@tile_function
def exp_token(source, begin, count, sign, slope, target, place, step):
    """Write the exponentials of a token's features, 16 every `step` elements; return their sum.

    Features are zero-padded to whole lanes, so the padding holds e^0 = 1 for tanh.
    """
    whole = count // LANES * LANES
    many = splat(target.dtype.type(0))
    for h in range(begin, begin + whole, LANES):
        power = exponential(load(source, h), sign, slope)
        store(target, place, power)
        many += power
        place += step
    if whole < count:
        for h in range(LANES):
            target[place + h] = source[begin + whole + h] if whole + h < count else ZERO
        power = exponential(load(target, place), sign, slope)
        store(target, place, power)
        many += power
    return reduce_sum(many)


@tile_function
def features_space(scratch, rows, padded):
    """Slices of scratch for a block of rows, and the offset of their end.

    The slices: features (rows, padded); for tanh the same times 2v; the vector, doubled for tanh; sums of each two
    consecutive elements of v; and a mark of each row, 1 if its features are within the limits.
    """
    size = rows * padded
    space = (
        offset_view(scratch, 0),
        offset_view(scratch, size),
        offset_view(scratch, 2 * size),
        offset_view(scratch, 2 * size + padded),
        offset_view(scratch, 2 * size + 2 * padded),
    )
    return space, 2 * size + 2 * padded + rows


def features_numbers(rows: int, padded: int) -> int:
    """Size of `features_space`, in elements."""
    return 2 * rows * padded + 2 * padded + rows


@tile_function
def exp_rows(query, begin, stride, rows, hidden, vector, v_begin, slope, space):
    """Fill a `features_space` from (rows, hidden) queries and a vector."""
    row_features, scaled, weights, pairs, marks = space
    padded = padded_size(hidden)
    factor = TWO if slope is None else ONE
    whole = hidden // LANES * LANES
    for h in range(0, whole, LANES):
        store(weights, h, load(vector, v_begin + h) * factor)
    for h in range(whole, padded):
        weights[h] = factor * vector[v_begin + h] if h < hidden else ZERO
    if rows >= FEW_ROWS:
        for h in range(0, padded, 2):
            two = offset_view(weights, h)
            pairs[h // 2] = HALF * (two[0] + two[1])
    fits = is_small(vector, v_begin, hidden, vector.dtype.type(LARGEST_VECTOR))
    for q in range(rows):
        at = begin + q * stride
        exp_token(query, at, hidden, -TWO, slope, row_features, q * padded, LANES)
        marks[q] = ONE
        if slope is None:
            small = fits and is_small(query, at, hidden, limit_for(query, LIMITS))
            marks[q] = ONE if small else ZERO
            for h in range(0, padded, LANES):
                at = q * padded + h
                store(scaled, at, load(row_features, at) * load(weights, h))


@tile_function
def exp_keys(key, begin, stride, count, hidden, slope, tile):
    """Fill a tile from (count, hidden) keys, padded by ones to whole lanes; return whether all are within limits."""
    small, most = True, limit_for(key, LARGEST_KEYS)
    for k in range(count):
        total = exp_token(
            key, begin + k * stride, hidden, TWO, slope, tile, k * LANES, BLOCK
        )  # fmt: skip
        if slope is None:
            small &= total < most
    ones = splat(key.dtype.type(1))
    for k in range(count, padded_size(count)):
        for block in range(padded_size(hidden) // LANES):
            store(tile, block * BLOCK + k * LANES, ones)
    return small


@tile_function
def transpose_tile(tile, count, padded, transposed):
    """Transpose a tile: (features / 16, KEYS, 16) -> (features, KEYS)."""
    for block in range(padded // LANES):
        for k in range(0, count, LANES):
            transpose_block(
                tile, block * BLOCK + k * LANES, LANES, transposed, block * LANES * KEYS + k, KEYS
            )


# Scores


@tile_function
def rectified(x, slope):
    """Leaky ReLU; propagates NaN."""
    return select_positive(x, x, x * slope)


@tile_function
def half_terms(weight, a, b):
    """2vÂ/(Â + B), given Â, B and `weight` = 2vÂ; v tanh(a + b) is v minus this."""
    return weight / (a + b)


@tile_function
def two_terms(a0, a1, w0, w1, both, b0, b1, slope):
    """v_0 φ(a_0 + b_0) + v_1 φ(a_1 + b_1) by one division; w is 2vÂ (v for leaky ReLU), `both` is v_0 + v_1."""
    if slope is None:
        d0, d1 = a0 + b0, a1 + b1
        return both - (w0 * d1 + w1 * d0) / (d0 * d1)
    return w0 * rectified(a0 + b0, slope) + w1 * rectified(a1 + b1, slope)


@tile_function
def two_features(space, at, h, slope):
    """The arguments a0, a1, w0, w1, both of `two_terms` for one query, each broadcast to all lanes."""
    row_features, scaled, weights, pairs, _ = space
    a0, a1 = number(row_features, at + h), number(row_features, at + h + 1)
    if slope is None:
        w0, w1 = number(scaled, at + h), number(scaled, at + h + 1)
    else:
        w0, w1 = number(weights, h), number(weights, h + 1)
    return a0, a1, w0, w1, number(pairs, h // 2)


@tile_function
def four_vectors(at, first, stop, slope, space, transposed, scores, place):
    """Scores of 64 keys (four vector registers) and the query at `at`, accumulated over blocks of features."""
    zero = splat(scores.dtype.type(0))
    s0, s1, s2, s3 = zero, zero, zero, zero
    if first > 0:
        s0, s1 = load(scores, place), load(scores, place + LANES)
        s2, s3 = load(scores, place + 2 * LANES), load(scores, place + 3 * LANES)
    for h in range(first, stop, 2):
        a0, a1, w0, w1, both = two_features(space, at, h, slope)
        k = h * KEYS
        b0, b1 = load(transposed, k), load(transposed, k + KEYS)
        s0 += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
        b0, b1 = load(transposed, k + LANES), load(transposed, k + KEYS + LANES)
        s1 += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
        b0, b1 = load(transposed, k + 2 * LANES), load(transposed, k + KEYS + 2 * LANES)
        s2 += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
        b0, b1 = load(transposed, k + 3 * LANES), load(transposed, k + KEYS + 3 * LANES)
        s3 += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
    store(scores, place, s0)
    store(scores, place + LANES, s1)
    store(scores, place + 2 * LANES, s2)
    store(scores, place + 3 * LANES, s3)


@tile_function
def one_vector(at, first, stop, slope, space, transposed, k, scores, place):
    """`four_vectors` for 16 keys of the tile, from k on (one vector register)."""
    total = load(scores, place) if first > 0 else splat(scores.dtype.type(0))
    for h in range(first, stop, 2):
        a0, a1, w0, w1, both = two_features(space, at, h, slope)
        b0, b1 = load(transposed, h * KEYS + k), load(transposed, (h + 1) * KEYS + k)
        total += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
    store(scores, place, total)


@tile_function
def transposed_scores(begin, end, count, padded, slope, space, transposed, scores, column, stride):
    """Scores of rows `begin` to `end` and the keys of a transposed tile."""
    for first in range(0, padded, FEATURES):
        stop = min(first + FEATURES, padded)
        for q in range(begin, end):
            place = q * stride + column
            if count > KEYS - LANES:
                four_vectors(q * padded, first, stop, slope, space, transposed, scores, place)
            else:
                for k in range(0, count, LANES):
                    one_vector(
                        q * padded, first, stop, slope, space, transposed, k, scores, place + k
                    )


@tile_function
def few_scores(begin, end, count, padded, slope, space, tile, scores, column, stride):
    """`transposed_scores` for few rows, by a tile that is not transposed: a sum over lanes for each pair."""
    row_features, scaled, weights, _, _ = space
    for q in range(begin, end):
        for k in range(count):
            total = splat(scores.dtype.type(0))
            for h in range(0, padded, LANES):
                at, b = q * padded + h, load(tile, h // LANES * BLOCK + k * LANES)
                if slope is None:
                    total += load(weights, h) * HALF
                    total += ZERO - half_terms(load(scaled, at), load(row_features, at), b)
                else:
                    total += load(weights, h) * rectified(load(row_features, at) + b, slope)
            scores[q * stride + column + k] = reduce_sum(total)


@tile_function
def direct_score(query, q_at, key, k_at, vector, v_at, hidden):
    """Direct path: Σ_h v_h tanh(a_h + b_h) of one pair from a + b, for features of any magnitude."""
    whole = hidden // LANES * LANES
    many = splat(query.dtype.type(0))
    for h in range(0, whole, LANES):
        x = load(query, q_at + h) + load(key, k_at + h)
        many += load(vector, v_at + h) * (ONE - TWO / (exp_or_zero(x + x) + ONE))
    total = reduce_sum(many)
    for h in range(whole, hidden):
        x = query[q_at + h] + key[k_at + h]
        total += vector[v_at + h] * (ONE - TWO / (ONE + math.exp(x + x)))
    return total


@tile_function
def tile_scores(
    given, at, strides, rows, begin, end, count, hidden, slope, small, space, tiles, scores, column, stride,
):  # fmt: skip
    """Write the scores of rows `begin` to `end` of a block and the keys of a tile to scores[q * stride + column + k].

    `given` are query, key and vector, at offsets `at` and with row strides `strides`. `space` holds the features of the
    rows (`exp_rows`), the first of `tiles` those of the keys (`exp_keys`), which are within the limits if `small`. Up
    to 15 elements after those of the keys are overwritten.
    """
    query, key, vector = given
    tile, transposed = tiles
    padded = padded_size(hidden)
    if small and rows >= FEW_ROWS:
        transpose_tile(tile, count, padded, transposed)
        transposed_scores(
            begin, end, count, padded, slope, space, transposed, scores, column, stride
        )
    elif small:
        few_scores(begin, end, count, padded, slope, space, tile, scores, column, stride)
    if slope is None:
        for q in range(begin, end):
            if not (small and space[4][q] > ZERO):
                for k in range(count):
                    scores[q * stride + column + k] = direct_score(
                        query, at[0] + q * strides[0], key, at[1] + k * strides[1], vector, at[2], hidden
                    )  # fmt: skip


# Gradients


@tile_function
def tanh_of(a, b):
    """tanh(a + b) from Â and B, scalars or lanes."""
    return (b - a) / (b + a)


@tile_function
def pair_gradients(a, b, g, slope):
    """gφ'(a + b) and gφ(a + b), given features and the gradient g of a score. For tanh also of scalars."""
    if slope is None:
        t = tanh_of(a, b)
        p = t * g
        return g - p * t, p
    x = a + b
    s = select_positive(x, g, g * slope)
    return s, s * x


@tile_function
def four_gradients(at, step, block, count, sums, g, q, slope):
    """Add the gradients of four queries and all keys of a tile, for 16 features."""
    row_features, row_sums, tile, key_sums, vector_sums = sums
    a0, a1 = load(row_features, at), load(row_features, at + step)
    a2, a3 = load(row_features, at + 2 * step), load(row_features, at + 3 * step)
    zero = splat(g.dtype.type(0))
    r0, r1, r2, r3, total = zero, zero, zero, zero, zero
    for k in range(count):
        place = block * BLOCK + k * LANES
        b, line = load(tile, place), q * KEYS + k
        s0, p0 = pair_gradients(a0, b, number(g, line), slope)
        s1, p1 = pair_gradients(a1, b, number(g, line + KEYS), slope)
        s2, p2 = pair_gradients(a2, b, number(g, line + 2 * KEYS), slope)
        s3, p3 = pair_gradients(a3, b, number(g, line + 3 * KEYS), slope)
        store(key_sums, place, load(key_sums, place) + ((s0 + s1) + (s2 + s3)))
        r0, r1, r2, r3 = r0 + s0, r1 + s1, r2 + s2, r3 + s3
        total += (p0 + p1) + (p2 + p3)
    store(row_sums, at, load(row_sums, at) + r0)
    store(row_sums, at + step, load(row_sums, at + step) + r1)
    store(row_sums, at + 2 * step, load(row_sums, at + 2 * step) + r2)
    store(row_sums, at + 3 * step, load(row_sums, at + 3 * step) + r3)
    store(vector_sums, block * LANES, load(vector_sums, block * LANES) + total)


@tile_function
def one_gradient(at, block, count, sums, g, q, slope):
    """`four_gradients` for one query."""
    row_features, row_sums, tile, key_sums, vector_sums = sums
    a, row, total = load(row_features, at), load(row_sums, at), load(vector_sums, block * LANES)
    for k in range(count):
        place = block * BLOCK + k * LANES
        s, p = pair_gradients(a, load(tile, place), number(g, q * KEYS + k), slope)
        store(key_sums, place, load(key_sums, place) + s)
        row += s
        total += p
    store(row_sums, at, row)
    store(vector_sums, block * LANES, total)


@tile_function
def direct_gradient(query, q_at, key, k_at, hidden, g, q_sum, k_sum, sums):
    """Direct path: gradients of one pair for tanh from a + b, for features of any magnitude."""
    _, row_sums, _, key_sums, vector_sums = sums
    whole = hidden // LANES * LANES
    for h in range(0, whole, LANES):
        x = load(query, q_at + h) + load(key, k_at + h)
        r = ONE / (exp_or_zero(x + x) + ONE)
        p = r * g
        s = (p - p * r) * (TWO * TWO)
        row, own = q_sum + h, k_sum + h // LANES * BLOCK
        store(row_sums, row, load(row_sums, row) + s)
        store(key_sums, own, load(key_sums, own) + s)
        store(vector_sums, h, load(vector_sums, h) + (g - p * TWO))
    for h in range(whole, hidden):
        x = query[q_at + h] + key[k_at + h]
        r = ONE / (ONE + math.exp(x + x))
        p = g * r
        s = TWO * TWO * (p - p * r)
        row_sums[q_sum + h] += s
        key_sums[k_sum + whole // LANES * BLOCK + h - whole] += s
        vector_sums[h] += g - TWO * p


@tile_function
def tile_gradients(
    given, at, strides, begin, end, count, hidden, slope, small, marks, sums, g
):  # fmt: skip
    """Accumulate the gradients of queries, keys and vector from g (rows, KEYS), the gradients of a tile's scores.

    `sums` are the features of the rows, their gradient sums (rows, padded), the tile of keys, its gradient sums, and
    the vector's (padded,). The sums of rows and keys lack the factor v_h.
    """
    padded = padded_size(hidden)
    for block in range(padded // LANES if small else 0):
        q = begin
        while q < end:
            place = q * padded + block * LANES
            if q + 4 <= end and min(marks[q], marks[q + 1], marks[q + 2], marks[q + 3]) > ZERO:
                four_gradients(place, padded, block, count, sums, g, q, slope)
                q += 4
            else:
                if marks[q] > ZERO:
                    one_gradient(place, block, count, sums, g, q, slope)
                q += 1
    if slope is None:
        for q in range(begin, end):
            if not (small and marks[q] > ZERO):
                for k in range(count):
                    direct_gradient(
                        given[0], at[0] + q * strides[0], given[1], at[1] + k * strides[1], hidden,
                        g[q * KEYS + k], q * padded, k * LANES, sums,
                    )  # fmt: skip


@tile_function
def add_key_sums(sums, vector, v_at, count, hidden, result, at):
    """Add the sums of a tile, times the vector, to the gradients of its keys (count, hidden)."""
    whole = hidden // LANES * LANES
    for k in range(count):
        for h in range(0, whole, LANES):
            place = at + k * hidden + h
            found = load(sums, h // LANES * BLOCK + k * LANES) * load(vector, v_at + h)
            store(result, place, found + load(result, place))
        for h in range(whole, hidden):
            found = sums[h // LANES * BLOCK + k * LANES + h % LANES] * vector[v_at + h]
            result[at + k * hidden + h] += found


@tile_function
def write_row_sums(sums, rows, vector, v_at, hidden, result, at):
    """Write the sums (rows, padded) of a block, times the vector, as the gradients of its queries (rows, hidden)."""
    padded, whole = padded_size(hidden), hidden // LANES * LANES
    for q in range(rows):
        source, place = q * padded, at + q * hidden
        for h in range(0, whole, LANES):
            store(result, place + h, load(sums, source + h) * load(vector, v_at + h))
        for h in range(whole, hidden):
            result[place + h] = sums[source + h] * vector[v_at + h]


@tile_function
def gradient_space(scratch, rows, padded):
    """Slices of scratch for gradients, and the offset of their end.

    A `features_space`; the tile of keys, and the transposed one; the `sums` of `tile_gradients`.
    """
    space, end = features_space(scratch, rows, padded)
    size = BLOCK // LANES * padded
    tile, transposed = offset_view(scratch, end), offset_view(scratch, end + size)
    end += size + KEYS * padded
    key_sums, row_sums = offset_view(scratch, end), offset_view(scratch, end + size)
    end += size + rows * padded
    sums = space[0], row_sums, tile, key_sums, offset_view(scratch, end)
    return space, (tile, transposed), sums, end + padded


def gradient_numbers(rows: int, padded: int) -> int:
    """Size of `gradient_space`, in elements."""
    tile = BLOCK // LANES * padded
    return features_numbers(rows, padded) + 2 * tile + (KEYS + rows + 1) * padded
