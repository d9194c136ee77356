# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The additive pair under tanh in float32, sixteen numbers at a time: raising features, and scores of tiles of keys.

A token's features are raised once, a query's to Â = e^{-2a} and a key's to B = e^{2b}. Then tanh(a + b) is
1 − 2Â/(Â + B) = (B − Â)/(B + Â): a sum instead of a product, which processors add beside their multiplications, and
which overflows later. Two features share a division: v/c + w/d = (vd + wc)/(cd). Tokens that hold anything larger than
`LIMIT`, or NaN, and vectors beyond `LARGEST_VECTOR` go by sums a + b, each raised.

A tile holds `KEYS` keys in blocks of sixteen features, `BLOCK` numbers apart, (features / 16, KEYS, 16): places whose
distance is a power of two would fall into few lines of the cache. Turned it is (features, KEYS).
"""

from __future__ import annotations

import numpy as np

from heedful.ops.jit.exponential import exponential, exponential_of
from heedful.ops.jit.kernel import (
    inlined,
    load,
    spread,
    store,
    stretch,
    sum_of,
    turn,
    where_positive,
)

SUMS = frozenset({"contract", "reassoc", "nsz"})
"""Sums may be reordered; a division stays a division, for an estimate of 1/∞ would be refined to NaN."""
LANES, KEYS = 16, 64
BLOCK = KEYS * LANES + LANES
FEW_ROWS = 4
"""Fewer queries than this are not worth turning the keys' tile."""
FEATURES = 128
"""How many features of a turned tile are read again and again: so many stay in the innermost cache."""
LIMIT, LARGEST_KEY, LARGEST_VECTOR = np.float32(19.0), np.float32(3e16), np.float32(1000.0)
"""With them no product of two sums Â + B, times a number of the vector, overflows."""
ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)


@inlined(fastmath=SUMS, borrows=True)
def padded_size(size):
    """The next multiple of LANES."""
    return (size + LANES - 1) // LANES * LANES


@inlined(fastmath=SUMS, borrows=True)
def number(array, place):
    """An element sixteen times."""
    return spread(stretch(array, place)[0])


@inlined(fastmath=SUMS, borrows=True)
def is_small(source, begin, count, limit):
    """Whether all of some numbers are smaller, of either sign, and none NaN."""
    many, most = spread(ZERO), spread(limit)
    whole = count // LANES * LANES
    for h in range(begin, begin + whole, LANES):
        x = load(source, h)
        many += where_positive(most - x, ZERO, ONE) + where_positive(x + most, ZERO, ONE)
    large = sum_of(many) > ZERO
    for h in range(begin + whole, begin + count):
        large |= not abs(source[h]) < limit
    return not large


@inlined(fastmath=SUMS, borrows=True)
def raise_token(source, begin, count, sign, target, place, step):
    """Write e^{sign·x} of a token's features, sixteen every `step` numbers, the last filled up with 1; their sum."""
    whole = count // LANES * LANES
    factors, many = spread(sign), spread(ZERO)
    for h in range(begin, begin + whole, LANES):
        power = exponential_of(load(source, h) * factors)
        store(target, place, power)
        many += power
        place += step
    total = sum_of(many)
    if whole < count:
        for h in range(LANES):
            x = source[begin + whole + h] if whole + h < count else ZERO
            power = exponential(x * sign)
            target[place + h] = power
            total += power
    return total


@inlined(fastmath=SUMS, borrows=True)
def raise_rows(query, begin, stride, rows, hidden, vector, v_begin, space):
    """Raise queries' features into (rows, padded), and beside them 2v times that; mark the small ones."""
    raised, scaled, doubled, pairs, marks = space
    padded = padded_size(hidden)
    fits = is_small(vector, v_begin, hidden, LARGEST_VECTOR)
    whole = hidden // LANES * LANES
    for h in range(0, whole, LANES):
        store(doubled, h, load(vector, v_begin + h) * TWO)
    for h in range(whole, padded):
        doubled[h] = TWO * vector[v_begin + h] if h < hidden else ZERO
    if rows >= FEW_ROWS:
        for h in range(0, padded, 2):
            two = stretch(doubled, h)
            pairs[h // 2] = HALF * (two[0] + two[1])
    for q in range(rows):
        at = begin + q * stride
        marks[q] = ONE if fits and is_small(query, at, hidden, LIMIT) else ZERO
        raise_token(query, at, hidden, -TWO, raised, q * padded, LANES)
        for h in range(0, padded, LANES):
            at = q * padded + h
            store(scaled, at, load(raised, at) * load(doubled, h))


@inlined(fastmath=SUMS, borrows=True)
def raise_keys(key, begin, stride, count, hidden, tile):
    """Raise some keys' features into a tile, and fill it up to sixteen with 1; whether all are small."""
    small = True
    for k in range(count):
        at = begin + k * stride
        small &= raise_token(key, at, hidden, TWO, tile, k * LANES, BLOCK) < LARGEST_KEY
    ones = spread(ONE)
    for k in range(count, padded_size(count)):
        for block in range(padded_size(hidden) // LANES):
            store(tile, block * BLOCK + k * LANES, ones)
    return small


@inlined(fastmath=SUMS, borrows=True)
def turn_tile(tile, count, padded, turned):
    """Turn a tile: (features / 16, KEYS, 16) -> (features, KEYS)."""
    for block in range(padded // LANES):
        for k in range(0, count, LANES):
            turn(tile, block * BLOCK + k * LANES, LANES, turned, block * LANES * KEYS + k, KEYS)


@inlined(fastmath=SUMS, borrows=True)
def two_terms(a0, a1, w0, w1, both, b0, b1):
    """Σ v_h tanh(a_h + b_h) of two features by one division, w being 2vÂ and `both` the sum of both v."""
    d0, d1 = a0 + b0, a1 + b1
    return both - (w0 * d1 + w1 * d0) / (d0 * d1)


@inlined(fastmath=SUMS, borrows=True)
def four_vectors(at, first, stop, space, turned, scores, place):
    """Scores of one query, whose features begin at `at`, and 64 keys: added to, or where features begin written."""
    raised, scaled, _, pairs, _ = space
    zero = spread(ZERO)
    s0, s1, s2, s3 = zero, zero, zero, zero
    if first > 0:
        s0, s1 = load(scores, place), load(scores, place + LANES)
        s2, s3 = load(scores, place + 2 * LANES), load(scores, place + 3 * LANES)
    for h in range(first, stop, 2):
        a0, a1 = number(raised, at + h), number(raised, at + h + 1)
        w0, w1 = number(scaled, at + h), number(scaled, at + h + 1)
        both, k = number(pairs, h // 2), h * KEYS
        b0, b1 = load(turned, k), load(turned, k + KEYS)
        s0 += two_terms(a0, a1, w0, w1, both, b0, b1)
        b0, b1 = load(turned, k + LANES), load(turned, k + KEYS + LANES)
        s1 += two_terms(a0, a1, w0, w1, both, b0, b1)
        b0, b1 = load(turned, k + 2 * LANES), load(turned, k + KEYS + 2 * LANES)
        s2 += two_terms(a0, a1, w0, w1, both, b0, b1)
        b0, b1 = load(turned, k + 3 * LANES), load(turned, k + KEYS + 3 * LANES)
        s3 += two_terms(a0, a1, w0, w1, both, b0, b1)
    store(scores, place, s0)
    store(scores, place + LANES, s1)
    store(scores, place + 2 * LANES, s2)
    store(scores, place + 3 * LANES, s3)


@inlined(fastmath=SUMS, borrows=True)
def one_vector(at, first, stop, space, turned, k, scores, place):
    """The same for 16 keys, the tile's from k on."""
    raised, scaled, _, pairs, _ = space
    total = load(scores, place) if first > 0 else spread(ZERO)
    for h in range(first, stop, 2):
        a0, a1 = number(raised, at + h), number(raised, at + h + 1)
        w0, w1 = number(scaled, at + h), number(scaled, at + h + 1)
        b0, b1 = load(turned, h * KEYS + k), load(turned, (h + 1) * KEYS + k)
        total += two_terms(a0, a1, w0, w1, number(pairs, h // 2), b0, b1)
    store(scores, place, total)


@inlined(fastmath=SUMS, borrows=True)
def turned_scores(rows, count, padded, space, turned, scores, column, stride):
    """Scores of all rows and the keys of a turned tile."""
    for first in range(0, padded, FEATURES):
        stop = min(first + FEATURES, padded)
        for q in range(rows):
            place = q * stride + column
            if count > KEYS - LANES:
                four_vectors(q * padded, first, stop, space, turned, scores, place)
            else:
                for k in range(0, count, LANES):
                    one_vector(q * padded, first, stop, space, turned, k, scores, place + k)


@inlined(fastmath=SUMS, borrows=True)
def few_scores(rows, count, padded, space, tile, scores, column, stride):
    """The same of few rows by a tile as it is: a sum over lanes for each pair."""
    raised, scaled, doubled, _, _ = space
    for q in range(rows):
        for k in range(count):
            total = spread(ZERO)
            for h in range(0, padded, LANES):
                at, b = q * padded + h, load(tile, h // LANES * BLOCK + k * LANES)
                total += load(doubled, h) * HALF - load(scaled, at) / (load(raised, at) + b)
            scores[q * stride + column + k] = sum_of(total)


@inlined(fastmath=SUMS, borrows=True)
def direct_score(query, q_at, key, k_at, vector, v_at, hidden):
    """Σ_h v_h tanh(a_h + b_h) of one pair, whatever the size of the numbers."""
    whole = hidden // LANES * LANES
    many = spread(ZERO)
    for h in range(0, whole, LANES):
        x = load(query, q_at + h) + load(key, k_at + h)
        many += load(vector, v_at + h) * (ONE - TWO / (exponential_of(x + x) + ONE))
    total = sum_of(many)
    for h in range(whole, hidden):
        x = query[q_at + h] + key[k_at + h]
        total += vector[v_at + h] * (ONE - TWO / (ONE + exponential(x + x)))
    return total
