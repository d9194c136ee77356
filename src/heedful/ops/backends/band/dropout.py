# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Dropout in the banded kernels: bits that both passes compute from a seed and the place of a pair."""

from __future__ import annotations

import numpy as np

from heedful.ops.backends.band.shape import ROWS
from heedful.ops.jit.kernel import drop_lanes, inlined, load, random_word, store
from heedful.ops.jit.random_numbers import random_number
from heedful.ops.jit.source import LANES


@inlined(no_refcount=True)
def drop_pairs(numbers, count, place, dropout):
    """Drop or scale the numbers of a span, (key, query); `place` is that of its first key.

    dropout: seed, limit below which a number of 32 bits drops a pair, and the factor of those that are kept. A limit of
    0 drops none.
    """
    if dropout[1] == 0:
        return
    scale = numbers.dtype.type(dropout[2])
    for k in range(count):
        here, word = k * ROWS, random_word(dropout[0], place + k, dropout[1])
        store(numbers, here, drop_lanes(load(numbers, here) * scale, word))
        high = drop_lanes(load(numbers, here + LANES) * scale, word >> LANES)
        store(numbers, here + LANES, high)


@inlined(no_refcount=True)
def is_pair_dropped(seed, place, row, limit):
    """Whether `drop_pairs` drops what a query of a block, by its row, has for the key at a place."""
    bits = random_number(seed, place * LANES + row % LANES)
    half = bits if row < LANES else bits >> np.uint64(32)
    return half & np.uint64(0xFFFFFFFF) < np.uint64(limit)


@inlined(no_refcount=True)
def place_of_block(head, block, queries, keys):
    """The place of key 0 of a block: places number the keys of all blocks of all heads."""
    return (head * ((queries + ROWS - 1) // ROWS) + block) * keys
