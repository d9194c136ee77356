"""Rows of a large table in little memory: where each is from and its text, without its fields."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from heedful.data.packed_texts import PackedTexts, PackedTextsWriter
from heedful.data.table_rows import TableRow


class KeptRows(Sequence[TableRow]):
    """Rows whose fields are empty; their texts are in a temporary file if they are many."""

    def __init__(
        self,
        names: Sequence[str],
        paths: Sequence[Path],
        places: Sequence[int],
        lines: Sequence[int],
        raws: PackedTexts,
    ):
        self.names = tuple(names)
        """The columns of the table."""
        self._paths, self._places, self._lines, self._raws = paths, places, lines, raws

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> TableRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[TableRow]: ...
    def __getitem__(self, index: int | slice) -> TableRow | list[TableRow]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        path = self._paths[self._places[index]]
        fields = dict.fromkeys(self.names, "")
        return TableRow(path, self._lines[index] or None, self._raws[index], fields)


class KeptRowsWriter:
    """Collects rows one by one.

    >>> writer = KeptRowsWriter()
    >>> writer.append(TableRow(Path("a.csv"), 2, "x,1", {"id": "x", "age": "1"}))
    >>> [(row.line, row.raw, row.fields) for row in writer.finish()]
    [(2, 'x,1', {'id': '', 'age': ''})]
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._paths: dict[Path, int] = {}
        self._places, self._lines = array("i"), array("q")
        self._raws = PackedTextsWriter()

    def append(self, row: TableRow) -> None:
        """Keep a row; the columns are those of the first.

        Raises: DataError for a full disk.
        """
        if not self._places:
            self._names = tuple(row.fields)
        self._places.append(self._paths.setdefault(row.path, len(self._paths)))
        self._lines.append(row.line or 0)
        self._raws.append(row.raw)

    def line(self, number: int) -> int | None:
        """Return the line of a row that was appended."""
        return self._lines[number] or None

    def finish(self) -> KeptRows:
        """Return all rows."""
        return KeptRows(
            self._names, list(self._paths), self._places, self._lines, self._raws.finish()
        )
