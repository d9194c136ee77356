"""Many sequences of ids in two arrays, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from heedful.data.spool import Spool

Ids = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class PackedIds(Sequence[Ids]):
    """Sequences of ids, one after another in one array; a sequence is a view of it.

    >>> packed = PackedIds.of([[[5, 6], [], [7]]], size=300)
    >>> [each.tolist() for each in packed], packed.lengths().tolist(), packed.values.dtype.name
    ([[5, 6], [], [7]], [2, 0, 1], 'uint16')
    """

    values: Ids
    """(ids,), all ids."""
    offsets: NDArray[np.int64]
    """(sequences + 1,), where each sequence starts; then the number of ids."""
    is_on_disk: bool = False
    """Whether the ids are memory-mapped."""

    @classmethod
    def of(cls, chunks: Iterable[Sequence[Sequence[int]]], size: int) -> PackedIds:
        """Pack sequences of ids. Many of them are memory-mapped, see `heedful.data.spool.Spool`.

        Args:
            chunks: some sequences at a time, read once.
            size: the ids are below this; up to 65,536 an id takes two bytes, beyond that four.

        Raises: DataError for a full disk.
        """
        dtype = np.dtype(np.uint16 if size <= 1 << 16 else np.int32)
        spool, lengths = Spool(), [np.zeros(1, np.int64)]
        for chunk in chunks:
            own = np.fromiter(map(len, chunk), np.int64, len(chunk))
            ids = np.fromiter(chain.from_iterable(chunk), dtype, int(own.sum()))
            spool.append(ids.tobytes())
            lengths.append(own)
        return cls(spool.array(dtype), np.cumsum(np.concatenate(lengths)), spool.is_on_disk)

    def lengths(self) -> NDArray[np.int32]:
        """Return the length of each sequence."""
        return np.diff(self.offsets).astype(np.int32)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> Ids: ...
    @overload
    def __getitem__(self, index: slice) -> list[Ids]: ...
    def __getitem__(self, index: int | slice) -> Ids | list[Ids]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        return self.values[self.offsets[row] : self.offsets[row + 1]]
