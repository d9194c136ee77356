# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Gradients of keys and values in half precision: summed in float32 where they change, and written once.

The blocks of a key head are visited in the order of their queries, so the first key that a block may attend to never
moves back. Keys before that of the next block have their whole gradient: it is written, rounded, and their place is
taken by later keys. Only the keys within reach of one block exist in float32.
"""

from __future__ import annotations

from heedful.ops.jit.kernel import inlined, load, offset_view, splat, store
from heedful.ops.jit.source import LANES


@inlined(no_refcount=True)
def write_sums(sums, capacity, width, low, stop, target):
    """Write the sums of the keys `low` to `stop` (exclusive) to `target`, and move those of later keys to the front.

    sums is (capacity, width), of the keys from `low` on; keys beyond it have gradient 0. target is that of key 0.
    Returns the sum of the numbers written, by lane.
    """
    zero = splat(sums.dtype.type(0))
    check = zero
    done = min(stop - low, capacity)
    written = offset_view(target, low * width)
    for i in range(0, done * width, LANES):
        number = load(sums, i)
        store(written, i, number)
        check = check + number
    for i in range(done * width, (stop - low) * width, LANES):
        store(written, i, zero)
    if done > 0:
        later = offset_view(sums, done * width)
        for i in range(0, (capacity - done) * width, LANES):
            store(sums, i, load(later, i))
        for i in range((capacity - done) * width, capacity * width, LANES):
            store(sums, i, zero)
    return check


@inlined(no_refcount=True)
def write_gradients(sums, sizes, low, stop, key_head, key_gradient, value_gradient):
    """Write the gradients of a key head's keys `low` to `stop` (exclusive); returns the sum of the numbers, by lane."""
    keys, features, values = sizes[1], sizes[2], sizes[3]
    reach = min(keys, sizes[4])
    check = write_sums(
        sums[0], reach, features, low, stop, offset_view(key_gradient, key_head * keys * features)
    )
    return check + write_sums(
        sums[1], reach, values, low, stop, offset_view(value_gradient, key_head * keys * values)
    )
