"""Plain lines of text, one text a line, in the place of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from heedful.data.text_tables import CsvTable, JsonLinesTable, TableRow, TextTable, TsvTable
from heedful.errors import DataError


class PlainLines(TsvTable):
    """Lines without a header; each is one text, and what is added follows after a tab.

    Without `tabs` a line that holds a tab is refused: it may be the row of a table.
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
                    "the line holds a tab; give --text if it is one text, or name a table .tsv.",
                    path=path,
                    line=number,
                )
            yield TableRow(number, line, dict.fromkeys(required, line))


def is_plain(line: str, table: TextTable, column: str) -> bool:
    """Return whether the first line of an input without a name is a text rather than the head of a table.

    It is where it has several words without the separator of such a table, or is no JSON.

    >>> is_plain("Who is it?", TsvTable(), "text"), is_plain("text", TsvTable(), "text")
    (True, False)
    """
    if isinstance(table, JsonLinesTable):
        return bool(line.strip()) and not line.lstrip().startswith("{")
    separator = "," if isinstance(table, CsvTable) else "\t"
    return len(line.split()) > 1 and separator not in line and line != column
