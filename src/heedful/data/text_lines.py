"""Plain text in place of a table, one text per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from heedful.data.delimiters import detect_delimiter, split_fields
from heedful.data.table_rows import TableRow
from heedful.data.tables import CsvTable, JsonLinesTable, Table, TsvTable
from heedful.errors import DataError


class PlainLines(TsvTable):
    """Lines without a header, each of which is one text; columns are appended after a tab.

    Without `tabs` a line that holds a tab, and may be a row of a table, is an error.
    """

    def __init__(self, separator: str = "", *, tabs: bool = False):
        super().__init__(separator)
        self.tabs = tabs

    def rows(
        self, path: Path, lines: Iterator[str], required: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        for number, line in enumerate(lines, start=1):
            if "\t" in line and not self.tabs:
                raise DataError(
                    "the line holds a tab; give --text if it is one text, or name the file .tsv if it is a table.",
                    path=path,
                    line=number,
                )
            yield TableRow(path, number, line, dict.fromkeys(required, line))


def is_plain(line: str, table: Table, column: str) -> bool:
    """Return whether the first line of an input is a text instead of the header of a table with this text column.

    A text has several words and no delimiter of the table; in place of JSON Lines, it is not a JSON object.

    >>> is_plain("Who is it?", TsvTable(), "text"), is_plain("text", TsvTable(), "text")
    (True, False)
    """
    if isinstance(table, JsonLinesTable):
        return bool(line.strip()) and not line.lstrip().startswith("{")
    if isinstance(table, CsvTable):
        fields = split_fields(line, detect_delimiter(line, [column]))
    else:
        fields = line.split("\t")
    return len(line.split()) > 1 and len(fields) <= 1 and line != column
