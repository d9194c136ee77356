"""How far from its query a mask can keep a key."""

from __future__ import annotations

from typing import NamedTuple


class Bounds(NamedTuple):
    """Query i sees no key before i − left and none after i + right; None is unbounded, and sides may be negative.

    `&` and `|` are what holds where both masks keep, and where either does.

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
