"""Bounds on the distance between a query and the keys that a mask keeps."""

from __future__ import annotations

from typing import NamedTuple


class Bounds(NamedTuple):
    """Query i attends at most to keys i − left … i + right. None is unbounded; a side may be negative.

    `&` gives the bounds of the intersection of two masks, `|` those of their union.

    >>> Bounds(2, None) & Bounds(5, 0), Bounds(2, None) | Bounds(5, 0)
    (Bounds(left=2, right=0), Bounds(left=5, right=None))
    """

    left: int | None
    right: int | None

    def __and__(self, other: Bounds) -> Bounds:
        return Bounds(_tighter(self.left, other.left), _tighter(self.right, other.right))

    def __or__(self, other: Bounds) -> Bounds:
        return Bounds(_wider(self.left, other.left), _wider(self.right, other.right))


UNBOUNDED = Bounds(None, None)


def _tighter(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _wider(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
