"""Which cells of a call a bounded window leaves."""

from __future__ import annotations

from dataclasses import dataclass

from heedful.ops.masks.bounds import Bounds


@dataclass(frozen=True)
class Band:
    """The cells of a call that its mask may keep: query i and the keys i − left to i + right that exist."""

    left: int
    right: int
    num_queries: int
    num_keys: int

    @classmethod
    def of(cls, bounds: Bounds, num_queries: int, num_keys: int) -> Band | None:
        """None where the bounds leave a side open."""
        if bounds.left is None or bounds.right is None:
            return None
        return cls(bounds.left, bounds.right, num_queries, num_keys)

    @classmethod
    def reaching(cls, bounds: Bounds, num_queries: int, num_keys: int) -> Band:
        """The same where an open side reaches as far as there are queries or keys."""
        left = num_queries - 1 if bounds.left is None else bounds.left
        right = num_keys - 1 if bounds.right is None else bounds.right
        return cls(left, right, num_queries, num_keys).fitted()

    @property
    def cells(self) -> int:
        """How many cells there are.

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
        """The sum of min(keys, 1) to min(keys, most): what a side hides from queries one behind the other."""
        within = max(0, min(most, self.num_keys))
        return within * (within + 1) // 2 + self.num_keys * max(0, most - self.num_keys)

    @property
    def width(self) -> int:
        """Cells of a row that meets no end of the keys."""
        return max(0, self.left + self.right + 1)

    @property
    def seeing(self) -> range:
        """The queries that have any cell."""
        if not self.width:
            return range(0)
        return range(max(0, -self.right), min(self.num_queries, self.num_keys + self.left))

    def keys(self, start: int, stop: int) -> tuple[int, int]:
        """First and last (exclusive) key of queries `start` to `stop`."""
        return max(0, start - self.left), min(self.num_keys, stop + self.right)

    def fitted(self) -> Band:
        """The same where the sides reach no farther than the lengths: no distance is greater, whatever the window."""
        left, right = min(self.left, self.num_queries - 1), min(self.right, self.num_keys - 1)
        return Band(left, right, self.num_queries, self.num_keys)
