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
