"""Table formats (TSV, CSV, JSON Lines): rows of named fields, written back unchanged with columns added."""

from __future__ import annotations

import abc
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from heedful.data.delimiters import are_numbers, detect_delimiter, split_fields
from heedful.data.json_lines import parse_object
from heedful.data.opening import MAX_ROW
from heedful.data.table_rows import TableRow, check_columns, check_new_columns
from heedful.errors import DataError, shown
from heedful.strict_json import to_strict_json

Value = str | float | Sequence[str] | None
"""The value of an added column: a label, a number, several labels, or nothing."""

_LONGEST_FIELD: Final = 2**31 - 1


class Table(abc.ABC):
    """A table format: reads rows as named fields, and appends columns to a row.

    A blank line is no row, except in a table of one column, where it is an empty field.
    """

    def __init__(self, separator: str = "", *, has_header: bool = False):
        self.separator = separator or ","
        """Separates several labels in one added field."""
        self.has_header = has_header
        """Whether the first line is a header also where no column is asked for by name."""
        self.raw_header: str | None = None
        """The unchanged header line once it has been read; None if the format or the file has none."""

    @abc.abstractmethod
    def rows(
        self, path: Path, lines: Iterator[str], required: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        """Lazily yield the rows.

        If every name in `required` is a number that is not in the first line, the file has no header and its
        columns are named "1", "2", ...; the same with none required, unless `has_header`.

        Raises: DataError naming file and line, also for an `added` column that already exists, and for a `required`
            column that the header lacks; JSON has no header, see `TableRow.value`.
        """

    @abc.abstractmethod
    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        """Return the text of a row with columns appended."""

    def header(self, added: Sequence[str]) -> str | None:
        """Return the header with column names appended; None without a header."""
        if self.raw_header is None:
            return None
        return self.extend(self.raw_header, {name: name for name in added})


class TsvTable(Table):
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

    def check_delimiter(self, path: Path, header: str, required: Sequence[str]) -> None:
        """Raise DataError for a header of other separators than tabs."""
        delimiter = detect_delimiter(header, required)
        if (
            "\t" not in header
            and required
            and set(required) <= set(split_fields(header, delimiter))
        ):
            raise DataError(
                f"the columns are separated by {shown(delimiter)}, not by tabs; name the file .csv.",
                path=path,
                line=1,
            )

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
        numbered = (bool(required) or not self.has_header) and are_numbers(required, first)
        names = [str(index + 1) for index in range(len(first))] if numbered else first
        for name in names:
            if name in required and names.count(name) > 1:
                raise DataError(
                    f"the column name {shown(name)} occurs twice; rename one.", path=path, line=1
                )
        if not numbered and not set(required) <= set(names):
            self.check_delimiter(path, raw, required)
        check_columns(path, names, required)
        if numbered:
            yield TableRow(path, number, raw, dict(zip(names, first, strict=True)))
        else:
            self.raw_header = raw
            check_new_columns(path, names, added)
        for number, raw, fields in records:
            if len(names) > 1 and not raw.strip(" "):
                continue
            if len(fields) != len(names):
                raise DataError(
                    f"the row has {len(fields)} fields and the first line has {len(names)}; "
                    f"{self.hint}.",
                    path=path,
                    line=number,
                )
            yield TableRow(path, number, raw, dict(zip(names, fields, strict=True)))


class CsvTable(TsvTable):
    """Separated values with double-quoted fields (RFC 4180); a row may span several lines.

    The separator is found by the first line (`detect_delimiter`). Spaces before a field are not part of it.
    """

    delimiter = ","
    hint = 'a field that holds a comma is written in "quotation marks"'

    def rows(
        self, path: Path, lines: Iterator[str], required: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        for first in lines:
            self.delimiter = detect_delimiter(first, required)
            if self.delimiter != ",":
                self.hint = (
                    f"the first line separates by {shown(self.delimiter)}; a field that holds it is written in "
                    '"quotation marks"'
                )
            lines = chain([first], lines)
            break
        return self._named_fields(path, self._records(path, lines), required, added)

    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        buffer = io.StringIO()
        values = [_as_field(value, self.separator) for value in added.values()]
        csv.writer(buffer, lineterminator="", delimiter=self.delimiter).writerow(values)
        return f"{raw}{self.delimiter}{buffer.getvalue()}"

    def check_delimiter(self, path: Path, header: str, required: Sequence[str]) -> None:
        """Do nothing: the delimiter is by the header."""

    def _records(self, path: Path, lines: Iterator[str]) -> Iterator[tuple[int, str, list[str]]]:
        raw_lines: list[str] = []

        def recording() -> Iterator[str]:
            length = 0
            for line in lines:
                length = len(line) + (length if raw_lines else 0)
                if raw_lines and length > MAX_ROW:
                    raise DataError(
                        f"the row that starts here is longer than {MAX_ROW:,} characters; a quotation mark may not be "
                        "closed.",
                        path=path,
                        line=start,
                    )
                raw_lines.append(line)
                yield line + "\n"

        csv.field_size_limit(_LONGEST_FIELD)
        reader = csv.reader(
            recording(), strict=True, delimiter=self.delimiter, skipinitialspace=True
        )
        start = 1
        try:
            for fields in reader:
                yield start, "\n".join(raw_lines), fields or [""]
                start = reader.line_num + 1
                raw_lines.clear()
        except csv.Error as error:
            raise DataError(
                f"the row that starts here is not valid CSV ({error}); a field that holds a comma, a "
                'quotation mark or a line break is written "like ""this""".',
                path=path,
                line=start,
            ) from None


class JsonLinesTable(Table):
    """One JSON object per line."""

    def rows(
        self, path: Path, lines: Iterator[str], required: Sequence[str], added: Sequence[str] = ()
    ) -> Iterator[TableRow]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            fields = parse_object(path, number, line)
            check_new_columns(path, list(fields), added, number)
            yield TableRow(path, number, line, fields)

    def extend(self, raw: str, added: Mapping[str, Value]) -> str:
        values = to_strict_json(
            {name: _json_value(value) for name, value in added.items()}, ensure_ascii=False
        )
        kept = raw.rstrip()[:-1].rstrip()
        return f"{kept}{'' if kept == '{' else ', '}{values[1:]}"


TABLES: dict[str, type[Table]] = {
    ".tsv": TsvTable,
    ".tab": TsvTable,
    ".csv": CsvTable,
    ".jsonl": JsonLinesTable,
    ".ndjson": JsonLinesTable,
}
"""File extension -> its format; .gz may follow."""


def extension(path: Path) -> str:
    """Return the extension that tells the format, without .gz.

    >>> extension(Path("a.CSV.gz"))
    '.csv'
    """
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def table_format(
    path: Path, separator: str = "", *, advice: str = "", has_header: bool = False
) -> Table:
    """Return the table format of a file, selected by its extension.

    Args:
        path: the file.
        separator: of several labels in one added field.
        advice: what else can be done about an unknown extension, for the error.
        has_header: see `Table`.

    Raises: DataError for an unknown extension.
    """
    suffix = extension(path)
    if suffix not in TABLES:
        raise DataError(
            f"unknown table format {shown(suffix)}; the file name must end in one of {', '.join(TABLES)} "
            f"(.gz may follow){advice}.",
            path=path,
        )
    return TABLES[suffix](separator, has_header=has_header)


def _as_field(value: Value, separator: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float | int) else separator.join(value)


def _json_value(value: Value) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value
