"""Tables of texts whose rows can be written back as they were, with columns added."""

from __future__ import annotations

import abc
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.errors import DataError, nearest

Value = str | float | Sequence[str]
"""What is added to a row: a label, a number, several labels."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: where it begins, its very lines, and its fields by column."""

    line: int
    raw: str
    fields: Mapping[str, object]


class TextTable(abc.ABC):
    """A format: reads rows with their fields by name, and writes a row back with more of them."""

    def __init__(self, separator: str = ""):
        self.separator = separator or ","
        self.head: str | None = None
        """The header's very line, once it was read; None where the format or the file has none."""

    @abc.abstractmethod
    def rows(
        self, path: Path, lines: Iterator[str], wanted: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        """Yield the rows; by numbers for `wanted` columns a file without a header is read.

        Raises: DataError naming file and line, also for a wanted column that is not there and for one
            that is to be added and is there.
        """

    @abc.abstractmethod
    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        """Return a row's lines with more columns at its end."""

    def header(self, added: Sequence[str]) -> str | None:
        """Return the header with more names at its end; None where there is no header."""
        if self.head is None:
            return None
        return self.extend(self.head, {name: name for name in added})


class Tabs(TextTable):
    """Tab-separated values: no quoting, a quotation mark is part of the text."""

    def rows(
        self, path: Path, lines: Iterator[str], wanted: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        parted = ((number, line, line.split("\t")) for number, line in enumerate(lines, start=1))
        return self._separated(path, parted, wanted, added)

    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        values = (_plain(value, self.separator) for value in added.values())
        return "\t".join([raw, *(" ".join(value.split()) for value in values)])

    def _separated(
        self,
        path: Path,
        rows: Iterator[tuple[int, str, list[str]]],
        wanted: Sequence[str],
        added: Sequence[str],
    ) -> Iterator[TableRow]:
        number, raw, first = next(rows, (0, "", []))
        if not number:
            raise DataError("the file is empty.", path=path)
        numbered = all(name.isdecimal() and name not in first for name in wanted)
        names = [str(place + 1) for place in range(len(first))] if numbered else first
        for name in names:
            if name in wanted and names.count(name) > 1:
                raise DataError(f"the column name {name!r} stands there twice.", path=path, line=1)
        check_columns(path, names, wanted)
        if numbered:
            yield TableRow(number, raw, dict(zip(names, first, strict=True)))
        else:
            self.head = raw
            check_new_columns(path, names, added)
        for number, raw, fields in rows:
            if len(fields) != len(names):
                raise DataError(
                    f"the row has {len(fields)} fields and the first line has {len(names)}; "
                    f"{self.mend}.",
                    path=path,
                    line=number,
                )
            yield TableRow(number, raw, dict(zip(names, fields, strict=True)))

    mend = "a field may not hold a tab"


class Commas(Tabs):
    """Comma-separated values, quoted as spreadsheets do; a row may run over several lines."""

    mend = 'a field that holds a comma is written in "quotation marks"'

    def rows(
        self, path: Path, lines: Iterator[str], wanted: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        return self._separated(path, self._parted(path, lines), wanted, added)

    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        written = io.StringIO()
        values = [_plain(value, self.separator) for value in added.values()]
        csv.writer(written, lineterminator="").writerow(values)
        return f"{raw},{written.getvalue()}"

    def _parted(self, path: Path, lines: Iterator[str]) -> Iterator[tuple[int, str, list[str]]]:
        taken: list[str] = []

        def recorded() -> Iterator[str]:
            for line in lines:
                taken.append(line)
                yield line + "\n"

        reader, start = csv.reader(recorded(), strict=True), 1
        try:
            for fields in reader:
                yield start, "\n".join(taken), fields
                start = reader.line_num + 1
                taken.clear()
        except csv.Error as error:
            raise DataError(
                f"the row that starts here is not valid CSV ({error}); a field that holds a comma, a "
                'quotation mark or a line break is written "like ""this""".',
                path=path,
                line=start,
            ) from None


class JsonLines(TextTable):
    """One JSON object a line."""

    def rows(
        self, path: Path, lines: Iterator[str], wanted: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"not JSON ({error}); each line must be one JSON object.",
                    path=path,
                    line=number,
                ) from None
            if not isinstance(fields, dict):
                raise DataError(
                    f"a JSON {type(fields).__name__}; each line must be one JSON object.",
                    path=path,
                    line=number,
                )
            check_columns(path, list(fields), wanted, number)
            check_new_columns(path, list(fields), added, number)
            yield TableRow(number, line, fields)

    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        values = json.dumps(
            {name: _json(value) for name, value in added.items()}, ensure_ascii=False
        )
        return f"{raw.rstrip()[:-1].rstrip()}, {values[1:]}"


TEXT_TABLES: dict[str, type[TextTable]] = {
    ".tsv": Tabs,
    ".tab": Tabs,
    ".csv": Commas,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
}
"""A file's ending -> its format; .gz may follow."""


def text_table(path: Path, separator: str = "") -> TextTable:
    """Return the reader and writer for a file, told by its name.

    Raises: DataError for a name that tells no format.
    """
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix not in TEXT_TABLES:
        raise DataError(
            f"the name does not tell the table's format; name it one of {', '.join(TEXT_TABLES)} "
            "(.gz may follow).",
            path=path,
        )
    return TEXT_TABLES[suffix](separator)


def check_columns(path: Path, names: Sequence[str], wanted: Sequence[str], line: int = 1) -> None:
    """Raise DataError, with the nearest name, for a column that is not among `names`."""
    for name in wanted:
        if name not in names:
            near = nearest(name, names)
            hint = f"; did you mean {near!r}?" if near else "."
            raise DataError(
                f"there is no column {name!r}{hint} The columns are: {', '.join(names)}.",
                path=path,
                line=line,
            )


def check_new_columns(
    path: Path, names: Sequence[str], added: Sequence[str], line: int = 1
) -> None:
    """Raise DataError for a column that is to be added and is there: nothing is written over or doubled."""
    for name in added:
        if name in names:
            raise DataError(
                f"there is a column {name!r} already, which is left as it is; --column NAME gives the "
                "predictions another name.",
                path=path,
                line=line,
            )


def _plain(value: Value, separator: str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float | int) else separator.join(value)


def _json(value: Value) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value
