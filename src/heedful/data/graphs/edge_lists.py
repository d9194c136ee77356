"""Edges that are read one by one: their ends and features, in temporary files if they are many."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import numpy as np

from heedful.data.graphs.graph import Column, Indices
from heedful.data.packed_texts import PackedTexts, PackedTextsWriter
from heedful.data.spool import Spool

_CHUNK: Final = 1 << 20
"""Edges that are written at once."""


class EdgeListWriter:
    """Collects edges.

    >>> writer = EdgeListWriter(["weight"])
    >>> writer.append(0, 1, ["0.5"])
    >>> edges, features = writer.finish(directed=False)
    >>> edges.tolist(), list(features["weight"])
    ([[0, 1], [1, 0]], ['0.5', '0.5'])
    """

    def __init__(self, features: Sequence[str]):
        self._ends = Spool(), Spool()
        self._blocks = array("q"), array("q")
        self._features = {name: PackedTextsWriter() for name in features}

    def append(self, source: int, target: int, features: Sequence[str]) -> None:
        """Append an edge.

        Raises: DataError for a full disk.
        """
        sources, targets = self._blocks
        sources.append(source)
        targets.append(target)
        for writer, value in zip(self._features.values(), features, strict=True):
            writer.append(value)
        if len(sources) >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        for spool, block in zip(self._ends, self._blocks, strict=True):
            spool.append(block.tobytes())
        self._blocks = array("q"), array("q")

    def finish(self, *, directed: bool) -> tuple[Indices, dict[str, Column]]:
        """Return the edges (2, edges) and their features; undirected ones come in both directions."""
        self._flush()
        ends = [spool.array(np.int64) for spool in self._ends]
        features: dict[str, Column] = {
            name: writer.finish() for name, writer in self._features.items()
        }
        if directed:
            return _joined([[ends[0]], [ends[1]]]), features
        # A self loop has one direction.
        back = np.flatnonzero(ends[0] != ends[1])
        both = _joined([[ends[0], ends[1][back]], [ends[1], ends[0][back]]])
        return both, {name: _doubled(column, back) for name, column in features.items()}  # type: ignore[arg-type]


def _joined(rows: Sequence[Sequence[Indices]]) -> Indices:
    """Return (2, edges) of the parts of both rows."""
    spool = Spool()
    for part in chain.from_iterable(rows):
        for first in range(0, len(part), _CHUNK):
            spool.append(np.ascontiguousarray(part[first : first + _CHUNK]).tobytes())
    return np.asarray(spool.array(np.int64).reshape(2, -1))


def _doubled(column: PackedTexts, back: Indices) -> PackedTexts:
    def texts() -> Iterator[str]:
        yield from column
        yield from column.select(back)

    return PackedTexts.of(texts())
