"""How a band is cut into blocks of queries, each with the window of keys that its queries may see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from heedful.ops.masks.bounds import Bounds


@dataclass(frozen=True)
class Blocks:
    """Blocks along a diagonal: block b has `rows` queries from start + b·rows and `keys` keys from key_start + b·rows.

    >>> blocks = Blocks(start=2, rows=2, key_start=1, keys=4, count=2)
    >>> blocks.keys_of(torch.arange(8)[None, :, None])[:, 0, :, 0].tolist()
    [[1, 2, 3, 4], [3, 4, 5, 6]]
    """

    start: int
    rows: int
    key_start: int
    keys: int
    count: int

    def queries_of(self, tensor: Tensor) -> Tensor:
        """A view of (heads, query, features) as (count, heads, rows, features)."""
        rows = tensor[:, self.start : self.start + self.count * self.rows]
        return rows.unfold(1, self.rows, self.rows).permute(1, 0, 3, 2)

    def keys_of(self, tensor: Tensor) -> Tensor:
        """An overlapping view of (heads, key, features) as (count, heads, keys, features)."""
        length = (self.count - 1) * self.rows + self.keys
        windows = tensor[:, self.key_start : self.key_start + length].unfold(
            1, self.keys, self.rows
        )
        return windows.permute(1, 0, 3, 2)

    def add_keys(self, total: Tensor, parts: Tensor) -> None:
        """Add what `keys_of` shaped, (count, heads, keys, features), into (heads, key, features), overlaps summed."""
        # Blocks overlap, but the n-th stretch of `rows` keys of one block meets no n-th stretch of another.
        for first in range(0, self.keys, self.rows):
            size = min(self.rows, self.keys - first)
            begin = self.key_start + first
            stretch = total[:, begin : begin + (self.count - 1) * self.rows + size]
            stretch.unfold(1, size, self.rows).permute(1, 0, 3, 2).add_(
                parts[:, :, first : first + size]
            )

    def indices(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Indices of queries (count, rows, 1) and of keys (count, 1, keys)."""
        block = torch.arange(self.count, device=device)[:, None, None] * self.rows
        queries = torch.arange(self.start, self.start + self.rows, device=device)
        keys = torch.arange(self.key_start, self.key_start + self.keys, device=device)
        return block + queries[:, None], block + keys

    def pieces(self, most: int) -> Iterator[Blocks]:
        """The same blocks, at most so many at a time."""
        for first in range(0, self.count, most):
            yield replace(
                self,
                start=self.start + first * self.rows,
                key_start=self.key_start + first * self.rows,
                count=min(most, self.count - first),
            )


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

    def blocks(self, rows: int, edge_rows: int) -> Iterator[Blocks]:
        """Cut into equal blocks; those whose window meets an end of the keys come singly, with the keys there are.

        Those may have more rows, `edge_rows`, so that they are fewer.
        """
        seeing = self.seeing
        inside = range(max(seeing.start, self.left), min(seeing.stop, self.num_keys - self.right))
        count = len(inside) // rows
        end = seeing.start
        if count:
            yield from self._edge(seeing.start, inside.start, edge_rows)
            first, keys = inside.start - self.left, rows + self.width - 1
            yield Blocks(inside.start, rows, first, keys, count)
            end = inside.start + count * rows
        yield from self._edge(end, seeing.stop, edge_rows)

    def _edge(self, start: int, stop: int, rows: int) -> Iterator[Blocks]:
        for first in range(start, stop, rows):
            last = min(first + rows, stop)
            key_start, key_stop = self.keys(first, last)
            yield Blocks(first, last - first, key_start, key_stop - key_start, 1)
