# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""What the gradients of a tile's scores ask of queries, keys and vector, sixteen features at a time.

With t = tanh(a + b) = (B − Â)/(B + Â) the gradients of query and key sum g(1 − t²), and the vector's sums gt. Here each
pair has its own division: what shares it would take more multiplications than that is worth.
"""

from __future__ import annotations

from heedful.ops.backends.additive.pair import (
    BLOCK,
    KEYS,
    LANES,
    ONE,
    SUMS,
    TWO,
    ZERO,
    number,
    padded_size,
)
from heedful.ops.jit.exponential import exponential
from heedful.ops.jit.kernel import inlined, load, spread, store


@inlined(fastmath=SUMS, borrows=True)
def bend(a, b, g):
    """g(1 − t²) and gt of a pair."""
    t = (b - a) / (b + a)
    p = t * g
    return g - p * t, p


@inlined(fastmath=SUMS, borrows=True)
def four_gradients(at, step, block, count, sums, g, q):
    """Add the gradients of four queries and all keys of a tile, in sixteen features."""
    raised, row_sums, tile, key_sums, bent = sums
    a0, a1 = load(raised, at), load(raised, at + step)
    a2, a3 = load(raised, at + 2 * step), load(raised, at + 3 * step)
    zero = spread(ZERO)
    r0, r1, r2, r3, total = zero, zero, zero, zero, zero
    for k in range(count):
        place = block * BLOCK + k * LANES
        b, line = load(tile, place), q * KEYS + k
        s0, p0 = bend(a0, b, number(g, line))
        s1, p1 = bend(a1, b, number(g, line + KEYS))
        s2, p2 = bend(a2, b, number(g, line + 2 * KEYS))
        s3, p3 = bend(a3, b, number(g, line + 3 * KEYS))
        store(key_sums, place, load(key_sums, place) + ((s0 + s1) + (s2 + s3)))
        r0, r1, r2, r3 = r0 + s0, r1 + s1, r2 + s2, r3 + s3
        total += (p0 + p1) + (p2 + p3)
    store(row_sums, at, load(row_sums, at) + r0)
    store(row_sums, at + step, load(row_sums, at + step) + r1)
    store(row_sums, at + 2 * step, load(row_sums, at + 2 * step) + r2)
    store(row_sums, at + 3 * step, load(row_sums, at + 3 * step) + r3)
    store(bent, block * LANES, load(bent, block * LANES) + total)


@inlined(fastmath=SUMS, borrows=True)
def one_gradient(at, block, count, sums, g, q):
    """The same of one query."""
    raised, row_sums, tile, key_sums, bent = sums
    a, row, total = load(raised, at), load(row_sums, at), load(bent, block * LANES)
    for k in range(count):
        place = block * BLOCK + k * LANES
        s, p = bend(a, load(tile, place), number(g, q * KEYS + k))
        store(key_sums, place, load(key_sums, place) + s)
        row += s
        total += p
    store(row_sums, at, row)
    store(bent, block * LANES, total)


@inlined(fastmath=SUMS, borrows=True)
def direct_gradient(query, q_at, key, k_at, hidden, g, q_sum, k_sum, sums):
    """The same of one pair, whatever the size of its numbers."""
    _, row_sums, _, key_sums, bent = sums
    for h in range(hidden):
        x = query[q_at + h] + key[k_at + h]
        r = ONE / (ONE + exponential(x + x))
        p = g * r
        s = TWO * TWO * (p - p * r)
        row_sums[q_sum + h] += s
        key_sums[k_sum + h // LANES * BLOCK + h % LANES] += s
        bent[h] += g - TWO * p


@inlined(fastmath=SUMS, borrows=True)
def pair_gradients(given, at, strides, rows, count, hidden, small, marks, sums, g):
    """Add what a tile's scores ask of queries, keys and vector."""
    padded = padded_size(hidden)
    for block in range(padded // LANES if small else 0):
        q = 0
        while q < rows:
            place = q * padded + block * LANES
            if q + 4 <= rows and min(marks[q], marks[q + 1], marks[q + 2], marks[q + 3]) > ZERO:
                four_gradients(place, padded, block, count, sums, g, q)
                q += 4
            else:
                if marks[q] > ZERO:
                    one_gradient(place, block, count, sums, g, q)
                q += 1
    for q in range(rows):
        if not (small and marks[q] > ZERO):
            begin = at[0] + q * strides[0]
            for k in range(count):
                theirs = at[1] + k * strides[1]
                direct_gradient(
                    given[0], begin, given[1], theirs, hidden, g[q * KEYS + k], q * padded, k * LANES, sums
                )  # fmt: skip


@inlined(fastmath=SUMS, borrows=True)
def add_tile(sums, vector, v_at, count, hidden, result, at, fresh):
    """Write, or add, a tile's gradients, times the vector, to those of the keys."""
    whole = hidden // LANES * LANES
    for k in range(count):
        for h in range(0, whole, LANES):
            place = at + k * hidden + h
            found = load(sums, h // LANES * BLOCK + k * LANES) * load(vector, v_at + h)
            store(result, place, found if fresh else found + load(result, place))
        for h in range(whole, hidden):
            found = sums[h // LANES * BLOCK + k * LANES + h % LANES] * vector[v_at + h]
            place = at + k * hidden + h
            result[place] = found if fresh else found + result[place]
