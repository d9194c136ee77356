# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The additive pair Σ_h v_h φ(a_h + b_h), 16 numbers at a time: raised features, and scores and gradients of tiles.

φ is tanh where `slope` is None, else the leaky rectifier with that slope. None has a type of its own, so a kernel is
compiled for one of them and no loop branches on it. All functions take float32 and float64.

Under tanh a query's feature is raised once to Â = e^{-2a} and a key's to B = e^{2b}. Then
tanh(a + b) = 1 − 2Â/(Â + B) = (B − Â)/(B + Â): one addition, where e^{2a}·e^{2b} + 1 needs a multiplication, and it
overflows later. In scores two features share a division, v/c + w/d = (vd + wc)/(cd). In gradients each pair has its
own, which costs less than the multiplications that sharing needs. Tokens with a feature beyond `LIMITS`, or NaN, and
vectors beyond `LARGEST_VECTOR` take the direct path: the sum a + b is raised, pair by pair.

The leaky rectifier needs no raised features: queries and keys are copied as they are.

A tile holds `KEYS` keys in blocks of 16 features, `BLOCK` numbers apart, (features / 16, KEYS, 16): addresses whose
distance is a power of two would share few lines of the cache. A turned tile is (features, KEYS).
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

SUMS = frozenset({"contract", "reassoc", "nsz"})
"""Sums may be reordered. A division stays a division: an estimate of 1/∞ would be refined to NaN."""
LANES, KEYS = 16, 64
BLOCK = KEYS * LANES + LANES
FEW_ROWS = 4
"""Blocks of fewer queries than this do not amortize turning the tile of keys."""
FEATURES = 128
"""Features of a turned tile that are reused from the innermost cache."""
ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
LIMITS = 19.0, 170.0
"""In float32 and float64, the |a| of a query below which Â is used."""
LARGEST_KEYS = 3e16, 1e147
"""Likewise the sum of a key's B. With both, and `LARGEST_VECTOR`, 2vÂ(Â + B) and (Â + B)² do not overflow."""
LARGEST_VECTOR = 1000.0

tile_function = inlined(fastmath=SUMS, no_refcount=True)
"""Marks a helper of the additive kernels."""


@tile_function
def padded_size(size):
    """The next multiple of LANES."""
    return (size + LANES - 1) // LANES * LANES


@tile_function
def of_width(array, limits):
    """The limit for the array's dtype, of (float32, float64)."""
    return array.dtype.type(limits[1] if array.itemsize > 4 else limits[0])


@tile_function
def number(array, place):
    """An element in all lanes."""
    return splat(offset_view(array, place)[0])


@tile_function
def is_small(source, begin, count, limit):
    """Whether every |x| of some numbers is below the limit; False for NaN."""
    many, most = splat(source.dtype.type(0)), splat(limit)
    whole = count // LANES * LANES
    for h in range(begin, begin + whole, LANES):
        x = load(source, h)
        many += select_positive(most - x, ZERO, ONE) + select_positive(x + most, ZERO, ONE)
    large = reduce_sum(many) > ZERO
    for h in range(begin + whole, begin + count):
        large |= not abs(source[h]) < limit
    return not large


# Raised features


@tile_function
def raised(x, sign, slope):
    """e^{sign·x} under tanh, x under the leaky rectifier."""
    if slope is None:
        return exp_or_zero(x * sign)
    return x


@tile_function
def raise_token(source, begin, count, sign, slope, target, place, step):
    """Write the raised features of a token, 16 every `step` numbers, padded by raised zeros; return their sum."""
    whole = count // LANES * LANES
    many = splat(target.dtype.type(0))
    for h in range(begin, begin + whole, LANES):
        power = raised(load(source, h), sign, slope)
        store(target, place, power)
        many += power
        place += step
    if whole < count:
        for h in range(LANES):
            target[place + h] = source[begin + whole + h] if whole + h < count else ZERO
        power = raised(load(target, place), sign, slope)
        store(target, place, power)
        many += power
    return reduce_sum(many)


@tile_function
def features_space(scratch, rows, padded):
    """Slices of scratch for a block of rows, and where they end.

    Raised features (rows, padded); under tanh the same times 2v; the vector, doubled under tanh; sums of its
    neighbours; and a mark for each row, 1 where its features are within the limits.
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
    """The numbers of scratch that `features_space` takes."""
    return 2 * rows * padded + 2 * padded + rows


@tile_function
def raise_rows(query, begin, stride, rows, hidden, vector, v_begin, slope, space):
    """Fill a `features_space` from (rows, hidden) queries and a vector."""
    raised_rows, scaled, weights, pairs, marks = space
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
        raise_token(query, at, hidden, -TWO, slope, raised_rows, q * padded, LANES)
        marks[q] = ONE
        if slope is None:
            small = fits and is_small(query, at, hidden, of_width(query, LIMITS))
            marks[q] = ONE if small else ZERO
            for h in range(0, padded, LANES):
                at = q * padded + h
                store(scaled, at, load(raised_rows, at) * load(weights, h))


@tile_function
def raise_keys(key, begin, stride, count, hidden, slope, tile):
    """Fill a tile from (count, hidden) keys, padded by ones to whole lanes; whether all are within the limits."""
    small, most = True, of_width(key, LARGEST_KEYS)
    for k in range(count):
        total = raise_token(
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
def turn_tile(tile, count, padded, turned):
    """Transpose a tile: (features / 16, KEYS, 16) -> (features, KEYS)."""
    for block in range(padded // LANES):
        for k in range(0, count, LANES):
            transpose_block(
                tile, block * BLOCK + k * LANES, LANES, turned, block * LANES * KEYS + k, KEYS
            )


# Scores


@tile_function
def rectified(x, slope):
    """Leaky ReLU; NaN of NaN."""
    return select_positive(x, x, x * slope)


@tile_function
def half_terms(weight, a, b):
    """2vÂ/(Â + B) of raised features, `weight` being 2vÂ: v tanh(a + b) is v less this."""
    return weight / (a + b)


@tile_function
def two_terms(a0, a1, w0, w1, both, b0, b1, slope):
    """Σ v_h φ(a_h + b_h) of two features by one division, w being 2vÂ (v under a rectifier), `both` the sum of v."""
    if slope is None:
        d0, d1 = a0 + b0, a1 + b1
        return both - (w0 * d1 + w1 * d0) / (d0 * d1)
    return w0 * rectified(a0 + b0, slope) + w1 * rectified(a1 + b1, slope)


@tile_function
def two_features(space, at, h, slope):
    """What `two_terms` takes of one query: raised features, weights, and the sum of the vector's."""
    raised_rows, scaled, weights, pairs, _ = space
    a0, a1 = number(raised_rows, at + h), number(raised_rows, at + h + 1)
    if slope is None:
        w0, w1 = number(scaled, at + h), number(scaled, at + h + 1)
    else:
        w0, w1 = number(weights, h), number(weights, h + 1)
    return a0, a1, w0, w1, number(pairs, h // 2)


@tile_function
def four_vectors(at, first, stop, slope, space, turned, scores, place):
    """Scores of 64 keys and one query whose features begin at `at`; added to those of the features before `first`."""
    zero = splat(scores.dtype.type(0))
    s0, s1, s2, s3 = zero, zero, zero, zero
    if first > 0:
        s0, s1 = load(scores, place), load(scores, place + LANES)
        s2, s3 = load(scores, place + 2 * LANES), load(scores, place + 3 * LANES)
    for h in range(first, stop, 2):
        a0, a1, w0, w1, both = two_features(space, at, h, slope)
        k = h * KEYS
        b0, b1 = load(turned, k), load(turned, k + KEYS)
        s0 += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
        b0, b1 = load(turned, k + LANES), load(turned, k + KEYS + LANES)
        s1 += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
        b0, b1 = load(turned, k + 2 * LANES), load(turned, k + KEYS + 2 * LANES)
        s2 += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
        b0, b1 = load(turned, k + 3 * LANES), load(turned, k + KEYS + 3 * LANES)
        s3 += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
    store(scores, place, s0)
    store(scores, place + LANES, s1)
    store(scores, place + 2 * LANES, s2)
    store(scores, place + 3 * LANES, s3)


@tile_function
def one_vector(at, first, stop, slope, space, turned, k, scores, place):
    """The same for 16 keys, the tile's from k on."""
    total = load(scores, place) if first > 0 else splat(scores.dtype.type(0))
    for h in range(first, stop, 2):
        a0, a1, w0, w1, both = two_features(space, at, h, slope)
        b0, b1 = load(turned, h * KEYS + k), load(turned, (h + 1) * KEYS + k)
        total += two_terms(a0, a1, w0, w1, both, b0, b1, slope)
    store(scores, place, total)


@tile_function
def turned_scores(begin, end, count, padded, slope, space, turned, scores, column, stride):
    """Scores of rows `begin` to `end` and the keys of a turned tile."""
    for first in range(0, padded, FEATURES):
        stop = min(first + FEATURES, padded)
        for q in range(begin, end):
            place = q * stride + column
            if count > KEYS - LANES:
                four_vectors(q * padded, first, stop, slope, space, turned, scores, place)
            else:
                for k in range(0, count, LANES):
                    one_vector(q * padded, first, stop, slope, space, turned, k, scores, place + k)


@tile_function
def few_scores(begin, end, count, padded, slope, space, tile, scores, column, stride):
    """The same by a tile that is not turned: a sum over lanes for each pair."""
    raised_rows, scaled, weights, _, _ = space
    for q in range(begin, end):
        for k in range(count):
            total = splat(scores.dtype.type(0))
            for h in range(0, padded, LANES):
                at, b = q * padded + h, load(tile, h // LANES * BLOCK + k * LANES)
                if slope is None:
                    total += load(weights, h) * HALF
                    total += ZERO - half_terms(load(scaled, at), load(raised_rows, at), b)
                else:
                    total += load(weights, h) * rectified(load(raised_rows, at) + b, slope)
            scores[q * stride + column + k] = reduce_sum(total)


@tile_function
def direct_score(query, q_at, key, k_at, vector, v_at, hidden):
    """Σ_h v_h tanh(a_h + b_h) of one pair by the sums a + b, whatever their size."""
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

    `given` are query, key and vector, whose block, tile and row begin at `at` and have `strides`; the rows are raised
    in `space`, the keys in the first of `tiles`, `small` where all of these are. Up to 15 numbers after those of the
    keys are overwritten.
    """
    query, key, vector = given
    tile, turned = tiles
    padded = padded_size(hidden)
    if small and rows >= FEW_ROWS:
        turn_tile(tile, count, padded, turned)
        turned_scores(begin, end, count, padded, slope, space, turned, scores, column, stride)
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
    """tanh(a + b) of raised features, numbers or lanes."""
    return (b - a) / (b + a)


@tile_function
def bend(a, b, g, slope):
    """gφ'(a + b) and gφ(a + b) of raised features and a score's gradient g; of numbers too under tanh."""
    if slope is None:
        t = tanh_of(a, b)
        p = t * g
        return g - p * t, p
    x = a + b
    s = select_positive(x, g, g * slope)
    return s, s * x


@tile_function
def four_gradients(at, step, block, count, sums, g, q, slope):
    """Add the gradients of four queries and all keys of a tile, in 16 features."""
    raised_rows, row_sums, tile, key_sums, bent = sums
    a0, a1 = load(raised_rows, at), load(raised_rows, at + step)
    a2, a3 = load(raised_rows, at + 2 * step), load(raised_rows, at + 3 * step)
    zero = splat(g.dtype.type(0))
    r0, r1, r2, r3, total = zero, zero, zero, zero, zero
    for k in range(count):
        place = block * BLOCK + k * LANES
        b, line = load(tile, place), q * KEYS + k
        s0, p0 = bend(a0, b, number(g, line), slope)
        s1, p1 = bend(a1, b, number(g, line + KEYS), slope)
        s2, p2 = bend(a2, b, number(g, line + 2 * KEYS), slope)
        s3, p3 = bend(a3, b, number(g, line + 3 * KEYS), slope)
        store(key_sums, place, load(key_sums, place) + ((s0 + s1) + (s2 + s3)))
        r0, r1, r2, r3 = r0 + s0, r1 + s1, r2 + s2, r3 + s3
        total += (p0 + p1) + (p2 + p3)
    store(row_sums, at, load(row_sums, at) + r0)
    store(row_sums, at + step, load(row_sums, at + step) + r1)
    store(row_sums, at + 2 * step, load(row_sums, at + 2 * step) + r2)
    store(row_sums, at + 3 * step, load(row_sums, at + 3 * step) + r3)
    store(bent, block * LANES, load(bent, block * LANES) + total)


@tile_function
def one_gradient(at, block, count, sums, g, q, slope):
    """The same of one query."""
    raised_rows, row_sums, tile, key_sums, bent = sums
    a, row, total = load(raised_rows, at), load(row_sums, at), load(bent, block * LANES)
    for k in range(count):
        place = block * BLOCK + k * LANES
        s, p = bend(a, load(tile, place), number(g, q * KEYS + k), slope)
        store(key_sums, place, load(key_sums, place) + s)
        row += s
        total += p
    store(row_sums, at, row)
    store(bent, block * LANES, total)


@tile_function
def direct_gradient(query, q_at, key, k_at, hidden, g, q_sum, k_sum, sums):
    """The same of one pair under tanh by the sums a + b, whatever their size."""
    _, row_sums, _, key_sums, bent = sums
    for h in range(hidden):
        x = query[q_at + h] + key[k_at + h]
        r = ONE / (ONE + math.exp(x + x))
        p = g * r
        s = TWO * TWO * (p - p * r)
        row_sums[q_sum + h] += s
        key_sums[k_sum + h // LANES * BLOCK + h % LANES] += s
        bent[h] += g - TWO * p


@tile_function
def tile_gradients(
    given, at, strides, begin, end, count, hidden, slope, small, marks, sums, g
):  # fmt: skip
    """Add what the gradients g (rows, KEYS) of a tile's scores give to queries, keys and vector.

    `sums` are the raised rows, their sums (rows, padded), the raised tile, its sums, and the vector's (padded,). The
    first two sums lack the factor v_h.
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
    """Add a tile's sums, times the vector, to the gradients of its keys (count, hidden)."""
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
    """Slices of scratch for gradients, and where they end.

    A `features_space`; tiles of keys, plain and turned; the `sums` of `tile_gradients`.
    """
    space, end = features_space(scratch, rows, padded)
    size = BLOCK // LANES * padded
    tile, turned = offset_view(scratch, end), offset_view(scratch, end + size)
    end += size + KEYS * padded
    key_sums, row_sums = offset_view(scratch, end), offset_view(scratch, end + size)
    end += size + rows * padded
    sums = space[0], row_sums, tile, key_sums, offset_view(scratch, end)
    return space, (tile, turned), sums, end + padded


def gradient_numbers(rows: int, padded: int) -> int:
    """The numbers of scratch that `gradient_space` takes."""
    tile = BLOCK // LANES * padded
    return features_numbers(rows, padded) + 2 * tile + (KEYS + rows + 1) * padded
