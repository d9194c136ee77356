"""Which query-key pairs of a call a window of distances keeps."""

from __future__ import annotations

from dataclasses import dataclass

from heedful.ops.call import Call
from heedful.ops.masks.bounds import UNBOUNDED, Bounds


@dataclass(frozen=True)
class Band:
    """The pairs of a call that its mask may keep: query i and the existing keys i − left to i + right.

    Sides may be negative: left = −1 starts at the key after the query's own.
    """

    left: int
    right: int
    num_queries: int
    num_keys: int

    @classmethod
    def of(cls, bounds: Bounds, num_queries: int, num_keys: int) -> Band | None:
        """The band of bounded sides; None where a side is unbounded."""
        if bounds.left is None or bounds.right is None:
            return None
        return cls(bounds.left, bounds.right, num_queries, num_keys)

    @classmethod
    def reaching(cls, bounds: Bounds, num_queries: int, num_keys: int) -> Band:
        """The band in which an unbounded side reaches the last query or key."""
        left = num_queries - 1 if bounds.left is None else bounds.left
        right = num_keys - 1 if bounds.right is None else bounds.right
        return cls(left, right, num_queries, num_keys).fitted()

    @property
    def cells(self) -> int:
        """Number of pairs in the band.

        >>> Band(1, 0, 4, 4).cells, Band(3, 3, 4, 4).cells
        (7, 16)
        """
        queries, keys = self.num_queries, self.num_keys
        if not self.width:
            return 0
        behind = self._beyond(queries - 1 - self.left) - self._beyond(-self.left - 1)
        before = self._beyond(keys - 1 - self.right) - self._beyond(keys - 1 - self.right - queries)
        return queries * keys - behind - before

    def _beyond(self, most: int) -> int:
        """Σ_{n=1}^{most} min(keys, n): pairs beyond a side, over queries that lose one key more each."""
        within = max(0, min(most, self.num_keys))
        return within * (within + 1) // 2 + self.num_keys * max(0, most - self.num_keys)

    @property
    def width(self) -> int:
        """Keys of a query whose window lies within the keys; 0 where the band is empty."""
        return max(0, self.left + self.right + 1)

    @property
    def nonempty_rows(self) -> range:
        """The queries that have at least one key in the band."""
        if not self.width:
            return range(0)
        return range(max(0, -self.right), min(self.num_queries, self.num_keys + self.left))

    def keys(self, start: int, stop: int) -> tuple[int, int]:
        """First and last (exclusive) key of the queries `start` to `stop` (exclusive)."""
        return max(0, start - self.left), min(self.num_keys, stop + self.right)

    def fitted(self) -> Band:
        """The same pairs with sides no longer than the largest distance that exists."""
        left, right = min(self.left, self.num_queries - 1), min(self.right, self.num_keys - 1)
        return Band(left, right, self.num_queries, self.num_keys)


def band_of(call: Call) -> Band | None:
    """The band that the call's mask bounds; None where a side is unbounded."""
    if call.mask is None:
        return None
    return Band.of(call.mask.bounds(call.rows), call.num_queries, call.num_keys)


def whole_band(call: Call) -> Band:
    """The band of the call's mask, in which an unbounded side reaches the last query or key."""
    bounds = UNBOUNDED if call.mask is None else call.mask.bounds(call.rows)
    return Band.reaching(bounds, call.num_queries, call.num_keys)
