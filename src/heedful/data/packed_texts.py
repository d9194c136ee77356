"""Many texts in little memory: a sequence of strings that holds them as UTF-8."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from heedful.data.spool import Spool

_BLOCK: Final = 1 << 20
"""Bytes that are written or read at once."""
_ERRORS: Final = "surrogatepass"
"""Texts come back as they were, also those that a later check refuses."""


class PackedTexts(Sequence[str]):
    """Texts as UTF-8 bytes, which are decoded when they are read.

    A list of strings takes about 60 bytes a text beside its characters, this 8; beyond 16 MiB the characters are
    in a temporary file, see `heedful.data.spool.Spool`. Equal to every sequence of the same strings.

    >>> texts = PackedTexts.of(["Grüße", "", "你好"])
    >>> texts[2], texts[:2], len(texts), texts == ["Grüße", "", "你好"]
    ('你好', ['Grüße', ''], 3, True)
    """

    def __init__(self, spool: Spool, offsets: NDArray[np.int64]):
        self._spool = spool
        self._offsets = offsets

    @classmethod
    def of(cls, texts: Iterable[str]) -> PackedTexts:
        """Pack texts, which are read once.

        Raises: DataError for a full disk.
        """
        writer = PackedTextsWriter()
        for text in texts:
            writer.append(text)
        return writer.finish()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self._decode(np.arange(start, stop))
            return [self[each] for each in range(start, stop, step)]
        # as of a list: negative indices count from the end, others are an IndexError
        return self._decode(np.array([range(len(self))[index]]))[0]

    def __iter__(self) -> Iterator[str]:
        yield from self.select(np.arange(len(self)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"PackedTexts({len(self):,} texts: {shown}{', …' if len(self) > 3 else ''})"

    def select(self, rows: NDArray[Any]) -> Iterator[str]:
        """Lazily yield the texts at increasing indices `rows`.

        >>> list(PackedTexts.of("abc").select(np.array([0, 2])))
        ['a', 'c']
        """
        starts, first = self._offsets[rows], 0
        while first < len(rows):
            last = int(np.searchsorted(starts, starts[first] + _BLOCK))
            yield from self._decode(rows[first:last])
            first = last

    def _decode(self, rows: NDArray[Any]) -> list[str]:
        """Return the texts at increasing indices, which are read at once."""
        if not len(rows):
            return []
        starts, stops = self._offsets[rows], self._offsets[rows + 1]
        first = int(starts[0])
        data = self._spool.read(first, int(stops[-1]))
        bounds = zip((starts - first).tolist(), (stops - first).tolist(), strict=True)
        return [data[start:stop].decode(errors=_ERRORS) for start, stop in bounds]


class PackedTextsWriter:
    """Packs texts one by one.

    >>> writer = PackedTextsWriter()
    >>> writer.append("one"), len(writer), writer.finish()
    (None, 1, PackedTexts(1 texts: 'one'))
    """

    def __init__(self) -> None:
        self._spool = Spool()
        self._offsets = array("q", [0])
        self._block = bytearray()

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._offsets) - 1

    def append(self, text: str) -> None:
        """Append a text.

        Raises: DataError for a full disk.
        """
        data = text.encode(errors=_ERRORS)
        self._offsets.append(self._offsets[-1] + len(data))
        self._block += data
        if len(self._block) >= _BLOCK:
            self._flush()

    def finish(self) -> PackedTexts:
        """Return all texts; none can be appended afterwards."""
        self._flush()
        return PackedTexts(self._spool, np.frombuffer(self._offsets, np.int64))

    def _flush(self) -> None:
        self._spool.append(self._block)
        self._block = bytearray()


def select_texts(texts: Sequence[str], rows: NDArray[Any]) -> Iterator[str]:
    """Lazily yield the texts at increasing indices.

    >>> list(select_texts(["a", "b", "c"], np.array([0, 2])))
    ['a', 'c']
    """
    if isinstance(texts, PackedTexts):
        return texts.select(rows)
    return (texts[row] for row in rows.tolist())


def take_texts(texts: Sequence[str], rows: Sequence[int]) -> Sequence[str]:
    """Return the texts at any indices, packed if `texts` are.

    >>> take_texts(["a", "b", "c"], [2, 0])
    ['c', 'a']
    """
    chosen = (texts[row] for row in rows)
    return PackedTexts.of(chosen) if isinstance(texts, PackedTexts) else list(chosen)
