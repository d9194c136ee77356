"""Table formats (TSV, CSV, JSON Lines) whose rows are written back unchanged with columns added."""

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
"""The value of an added column: a label, a number, or several labels."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its first line number, its unchanged text, and its fields by column."""

    line: int
    raw: str
    fields: Mapping[str, object]


class TextTable(abc.ABC):
    """A table format: reads rows as named fields, and appends columns to a row."""

    def __init__(self, separator: str = ""):
        self.separator = separator or ","
        self.raw_header: str | None = None
        """The unchanged header line once it has been read; None if the format or the file has none."""

    @abc.abstractmethod
    def rows(
        self, path: Path, lines: Iterator[str], required: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        """Lazily yield the rows.

        If every name in `required` is a number that is not in the first line, the file has no header and its
        columns are named "1", "2", ...

        Raises: DataError naming file and line, also for a missing `required` column and for an `added` column
            that already exists.
        """

    @abc.abstractmethod
    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        """Return the text of a row with columns appended."""

    def header(self, added: Sequence[str]) -> str | None:
        """Return the header with column names appended; None without a header."""
        if self.raw_header is None:
            return None
        return self.extend(self.raw_header, {name: name for name in added})


class TsvTable(TextTable):
    """Tab-separated values without quoting: a quotation mark is part of the text."""

    hint = "a field may not hold a tab"
    """How to fix a row with a wrong number of fields."""

    def rows(
        self, path: Path, lines: Iterator[str], required: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        records = ((number, line, line.split("\t")) for number, line in enumerate(lines, start=1))
        return self._named_fields(path, records, required, added)

    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        values = (_as_field(value, self.separator) for value in added.values())
        return "\t".join([raw, *(" ".join(value.split()) for value in values)])

    def _named_fields(
        self,
        path: Path,
        records: Iterator[tuple[int, str, list[str]]],
        required: Sequence[str],
        added: Sequence[str],
    ) -> Iterator[TableRow]:
        number, raw, first = next(records, (0, "", []))
        if not number:
            raise DataError("the file is empty.", path=path)
        numbered = all(name.isdecimal() and name not in first for name in required)
        names = [str(index + 1) for index in range(len(first))] if numbered else first
        for name in names:
            if name in required and names.count(name) > 1:
                raise DataError(
                    f"the column name {name!r} occurs twice; rename one.", path=path, line=1
                )
        check_columns(path, names, required)
        if numbered:
            yield TableRow(number, raw, dict(zip(names, first, strict=True)))
        else:
            self.raw_header = raw
            check_new_columns(path, names, added)
        for number, raw, fields in records:
            if len(fields) != len(names):
                raise DataError(
                    f"the row has {len(fields)} fields and the first line has {len(names)}; "
                    f"{self.hint}.",
                    path=path,
                    line=number,
                )
            yield TableRow(number, raw, dict(zip(names, fields, strict=True)))


class CsvTable(TsvTable):
    """Comma-separated values with double-quoted fields; a row may span several lines."""

    hint = 'a field that holds a comma is written in "quotation marks"'

    def rows(
        self, path: Path, lines: Iterator[str], required: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        return self._named_fields(path, self._records(path, lines), required, added)

    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        buffer = io.StringIO()
        values = [_as_field(value, self.separator) for value in added.values()]
        csv.writer(buffer, lineterminator="").writerow(values)
        return f"{raw},{buffer.getvalue()}"

    def _records(self, path: Path, lines: Iterator[str]) -> Iterator[tuple[int, str, list[str]]]:
        raw_lines: list[str] = []

        def recording() -> Iterator[str]:
            for line in lines:
                raw_lines.append(line)
                yield line + "\n"

        reader, start = csv.reader(recording(), strict=True), 1
        try:
            for fields in reader:
                yield start, "\n".join(raw_lines), fields
                start = reader.line_num + 1
                raw_lines.clear()
        except csv.Error as error:
            raise DataError(
                f"the row that starts here is not valid CSV ({error}); a field that holds a comma, a "
                'quotation mark or a line break is written "like ""this""".',
                path=path,
                line=start,
            ) from None


class JsonLinesTable(TextTable):
    """One JSON object per line."""

    def rows(
        self, path: Path, lines: Iterator[str], required: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"not valid JSON ({error}); each line must be one JSON object.",
                    path=path,
                    line=number,
                ) from None
            if not isinstance(fields, dict):
                raise DataError(
                    f"got a JSON {type(fields).__name__}; each line must be one JSON object.",
                    path=path,
                    line=number,
                )
            check_columns(path, list(fields), required, number)
            check_new_columns(path, list(fields), added, number)
            yield TableRow(number, line, fields)

    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        values = json.dumps(
            {name: _json_value(value) for name, value in added.items()}, ensure_ascii=False
        )
        return f"{raw.rstrip()[:-1].rstrip()}, {values[1:]}"


TEXT_TABLES: dict[str, type[TextTable]] = {
    ".tsv": TsvTable,
    ".tab": TsvTable,
    ".csv": CsvTable,
    ".jsonl": JsonLinesTable,
    ".ndjson": JsonLinesTable,
}
"""File extension -> its format; .gz may follow."""


def text_table(path: Path, separator: str = "") -> TextTable:
    """Return the table format of a file, selected by its extension.

    Raises: DataError for an unknown extension.
    """
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix not in TEXT_TABLES:
        raise DataError(
            f"unknown table format {suffix!r}; the file name must end in one of {', '.join(TEXT_TABLES)} "
            "(.gz may follow).",
            path=path,
        )
    return TEXT_TABLES[suffix](separator)


def check_columns(path: Path, names: Sequence[str], required: Sequence[str], line: int = 1) -> None:
    """Raise DataError for a required column that is not among `names`, suggesting the nearest."""
    for name in required:
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
    """Raise DataError for an added column that already exists."""
    for name in added:
        if name in names:
            raise DataError(
                f"column {name!r} already exists and is not overwritten; use --column NAME to give the "
                "predictions another name.",
                path=path,
                line=line,
            )


def _as_field(value: Value, separator: str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float | int) else separator.join(value)


def _json_value(value: Value) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value
