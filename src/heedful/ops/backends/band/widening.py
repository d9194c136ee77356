# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Rows in half precision, widened to float32 a block or a span at a time."""

from __future__ import annotations

from heedful.ops.jit.kernel import inlined, load, offset_view, store
from heedful.ops.jit.source import LANES


@inlined(no_refcount=True)
def widen_rows(source, at, step, count, features, room):
    """Copy rows in half precision into float32, without gaps."""
    for k in range(count):
        for f in range(0, features, LANES):
            store(room, k * features + f, load(source, at + k * step + f))


@inlined(no_refcount=True)
def widened(half, at, step, rows, width, room, room_at):
    """Offset and step of some rows in float32 or wider: as given if `half` is None, else of their copy in `room`."""
    if half is not None:
        widen_rows(half, at, step, rows, width, offset_view(room, room_at))
    return number_if_none(half, at, room_at), number_if_none(half, step, width)


@inlined(no_refcount=True)
def number_if_none(array, one, other):
    """The first number if the array is None, else the second."""
    if array is None:
        return one
    return other
