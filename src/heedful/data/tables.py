"""The rows of TSV, CSV and JSON-lines files, two named columns of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from heedful.errors import DataError, nearest

Row = tuple[int, list[str]]
"""The line that a row starts at, and its fields."""


def table_rows(
    path: Path, lines: Iterator[str], columns: tuple[str, str]
) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield, for each row, the line it starts at and the values of the two columns.

    Raises:
        DataError: see `heedful.data.files.read_table`.
    """
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix not in FORMATS:
        raise DataError(
            f"the name does not tell the table's format; name it one of {', '.join(FORMATS)} "
            "(.gz may follow), or give two line-aligned files.",
            path=path,
        )
    return FORMATS[suffix](path, lines, columns)


def _tab_rows(lines: Iterator[str]) -> Iterator[Row]:
    # Tab-separated values have no quoting: a quotation mark is part of the text.
    for number, line in enumerate(lines, start=1):
        yield number, line.split("\t")


def _comma_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    reader = csv.reader((line + "\n" for line in lines), strict=True)
    start = 1
    try:
        for fields in reader:
            yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"the row that starts here is not valid CSV ({error}); a field that holds a comma, a "
            'quotation mark or a line break is written "like ""this""".',
            path=path,
            line=start,
        ) from None


def _separated(
    path: Path, rows: Iterator[Row], columns: tuple[str, str], mend: str
) -> Iterator[tuple[int, tuple[str, str]]]:
    first_number, first = next(rows, (0, []))
    if not first_number:
        raise DataError("the file is empty.", path=path)
    numbered = all(name.isdecimal() and name not in first for name in columns)
    source, target = (
        _position(path, first, name) if numbered else _named(path, first, name) for name in columns
    )
    if numbered:
        yield first_number, (first[source], first[target])
    for number, fields in rows:
        if len(fields) != len(first):
            raise DataError(
                f"the row has {len(fields)} fields and the first line has {len(first)}; {mend}.",
                path=path,
                line=number,
            )
        yield number, (fields[source], fields[target])


def _position(path: Path, first: list[str], name: str) -> int:
    if not 1 <= int(name) <= len(first):
        raise DataError(
            f"there is no column {name}: the first line has {len(first)} fields, counted from 1.",
            path=path,
            line=1,
        )
    return int(name) - 1


def _named(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        raise DataError(_no_column(name, header), path=path, line=1)
    if header.count(name) > 1:
        raise DataError(f"the column name {name!r} stands there twice.", path=path, line=1)
    return header.index(name)


def _no_column(name: str, present: list[str]) -> str:
    near = nearest(name, present)
    hint = f"; did you mean {near!r}?" if near else "."
    return f"there is no column {name!r}{hint} The columns are: {', '.join(present)}."


def _tabs(
    path: Path, lines: Iterator[str], columns: tuple[str, str]
) -> Iterator[tuple[int, tuple[str, str]]]:
    return _separated(path, _tab_rows(lines), columns, "a field may not hold a tab")


def _commas(
    path: Path, lines: Iterator[str], columns: tuple[str, str]
) -> Iterator[tuple[int, tuple[str, str]]]:
    mend = 'a field that holds a comma is written in "quotation marks"'
    return _separated(path, _comma_rows(path, lines), columns, mend)


def _json_lines(
    path: Path, lines: Iterator[str], columns: tuple[str, str]
) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"not JSON ({error}); each line must be one JSON object.", path=path, line=number
            ) from None
        if not isinstance(row, dict):
            raise DataError(
                f"a JSON {type(row).__name__}; each line must be one JSON object.",
                path=path,
                line=number,
            )
        yield number, (_text(path, number, row, columns[0]), _text(path, number, row, columns[1]))


def _text(path: Path, number: int, row: dict[str, object], name: str) -> str:
    if name not in row:
        raise DataError(_no_column(name, list(row)), path=path, line=number)
    value = row[name]
    if not isinstance(value, str):
        raise DataError(
            f"column {name!r} holds {json.dumps(value)[:40]}; a string is wanted.",
            path=path,
            line=number,
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(
            f"column {name!r} holds half of a surrogate pair, which is no character.",
            path=path,
            line=number,
        )
    return value


Reader = Callable[[Path, Iterator[str], tuple[str, str]], Iterator[tuple[int, tuple[str, str]]]]

FORMATS: dict[str, Reader] = {
    ".tsv": _tabs,
    ".tab": _tabs,
    ".csv": _commas,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
