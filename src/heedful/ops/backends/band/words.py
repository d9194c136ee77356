# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Masks as bits: one word of 32 bits for a key and a block of 32 queries, bit q for the block's query q.

A boolean mask takes a 32nd of the memory of scores to be added, is packed once for all heads that share it, and says at
a glance that a key is hidden from a whole block: such keys are skipped.
"""

from __future__ import annotations

import numpy as np

from heedful.ops.backends.band.shape import ROWS
from heedful.ops.jit.kernel import inlined, keep_lanes, kernel, load, offset_view, store
from heedful.ops.jit.source import LANES

GAP = 32
"""Neighbouring keys hidden from a whole block that end a span."""


@kernel(no_refcount=True)
def pack_mask(
    part, parts, heads, blocks, first_block, queries, keys, left, right, word_keys, row_start, key_start,
    batch_step, head_step, query_step, key_step, keep, words,
):  # fmt: skip
    """Pack a boolean mask, as bytes, whose first query and key are `row_start` and `key_start` of the call.

    words is (batch, heads, blocks, word_keys), from the first key on that the window lets any query of a block see.
    """
    total = words.shape[0] // word_keys
    for item in range(total * part // parts, total * (part + 1) // parts):
        block, head = first_block + item % blocks, item // blocks
        first = block * ROWS
        start, count = keys_in_reach(first, keys, left, right)
        target = offset_view(words, item * word_keys)
        for k in range(word_keys):
            target[k] = 0
        at = head // heads * batch_step + head % heads * head_step + (start - key_start) * key_step
        for row in range(min(ROWS, queries - first)):
            source = offset_view(keep, at + (first + row - row_start) * query_step)
            shift = np.int32(row)
            if key_step == 1:
                for k in range(count):
                    target[k] |= np.int32(np.int32(source[k]) << shift)
            else:
                for k in range(count):
                    target[k] |= np.int32(np.int32(source[k * key_step]) << shift)


@kernel(no_refcount=True)
def pack_segments(
    part, parts, heads, blocks, first_block, queries, keys, left, right, word_keys,
    query_batch_step, query_head_step, key_batch_step, key_head_step, query_ids, key_ids, words,
):  # fmt: skip
    """Pack the mask that keeps pairs of equal ids; as `pack_mask`."""
    total = words.shape[0] // word_keys
    for item in range(total * part // parts, total * (part + 1) // parts):
        block, head = first_block + item % blocks, item // blocks
        first = block * ROWS
        start, count = keys_in_reach(first, keys, left, right)
        target = offset_view(words, item * word_keys)
        batch, place = head // heads, head % heads
        mine = offset_view(query_ids, batch * query_batch_step + place * query_head_step + first)
        others = offset_view(key_ids, batch * key_batch_step + place * key_head_step + start)
        rows = min(ROWS, queries - first)
        for k in range(word_keys):
            target[k] = 0
        row = 0
        while row < rows:
            # Neighbouring queries of one segment are compared together.
            end = row + 1
            while end < rows and mine[end] == mine[row]:
                end += 1
            bits = np.int32(((1 << (end - row)) - 1) << row)
            for k in range(count):
                target[k] |= bits if others[k] == mine[row] else np.int32(0)
            row = end


@inlined(no_refcount=True)
def keys_in_reach(first, keys, left, right):
    """First key, and number of keys, that a window lets any query of the block from `first` on see."""
    start = max(0, first - left)
    return start, max(0, min(keys, first + ROWS + right) - start)


@inlined(no_refcount=True)
def next_span(words, at, begin, stop, size):
    """First key and number of keys, at most `size`, of the next span that is not hidden from the whole block.

    `at` + k is the place of key k in `words`, which are empty where nothing is hidden. No keys: none are left.
    """
    if words.shape[0] == 0:
        return begin, min(size, stop - begin)
    while begin < stop and words[at + begin] == 0:
        begin += 1
    end, k, most = begin, begin, min(stop, begin + size)
    while k < most and k - end < GAP:
        if words[at + k] != 0:
            end = k + 1
        k += 1
    return begin, end - begin


@inlined(no_refcount=True)
def hide_by_words(scores, count, words, at):
    """Replace the scores of hidden pairs by minus infinity; scores are (key, query)."""
    for k in range(count):
        word = words[at + k]
        if word != -1:
            here = k * ROWS
            store(scores, here, keep_lanes(load(scores, here), word))
            store(scores, here + LANES, keep_lanes(load(scores, here + LANES), word >> LANES))


@inlined(no_refcount=True)
def hide_weights(weights, rows, step, begin, end):
    """Write minus infinity where scores of keys that were skipped belong; weights are empty where there are none."""
    if weights.shape[0] == 0:
        return
    for row in range(rows):
        of_row = offset_view(weights, row * step)
        for k in range(begin, end):
            of_row[k] = -np.inf
