"""Readers of two columns of TSV, CSV and JSON Lines files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from heedful.errors import DataError, nearest

Record = tuple[int, list[str]]
"""The first line number of a row, and its fields."""


def table_rows(
    path: Path, lines: Iterator[str], columns: tuple[str, str]
) -> Iterator[tuple[int, tuple[str, str]]]:
    """Lazily yield each row's first line number and the values of the two columns.

    Raises:
        DataError: see `heedful.data.files.read_table`.
    """
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix not in FORMATS:
        raise DataError(
            f"unknown table format {suffix!r}; the file name must end in one of {', '.join(FORMATS)} "
            "(.gz may follow), or give two line-aligned files.",
            path=path,
        )
    return FORMATS[suffix](path, lines, columns)


def _tsv_records(lines: Iterator[str]) -> Iterator[Record]:
    # TSV has no quoting: a quotation mark is part of the text.
    for number, line in enumerate(lines, start=1):
        yield number, line.split("\t")


def _csv_records(path: Path, lines: Iterator[str]) -> Iterator[Record]:
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


def _select_columns(
    path: Path, records: Iterator[Record], columns: tuple[str, str], hint: str
) -> Iterator[tuple[int, tuple[str, str]]]:
    first_number, first = next(records, (0, []))
    if not first_number:
        raise DataError("the file is empty.", path=path)
    numbered = all(name.isdecimal() and name not in first for name in columns)
    source, target = (
        _index_by_number(path, first, name) if numbered else _index_by_name(path, first, name)
        for name in columns
    )
    if numbered:
        yield first_number, (first[source], first[target])
    for number, fields in records:
        if len(fields) != len(first):
            raise DataError(
                f"the row has {len(fields)} fields and the first line has {len(first)}; {hint}.",
                path=path,
                line=number,
            )
        yield number, (fields[source], fields[target])


def _index_by_number(path: Path, first: list[str], name: str) -> int:
    if not 1 <= int(name) <= len(first):
        raise DataError(
            f"there is no column {name}: the first line has {len(first)} fields, counted from 1.",
            path=path,
            line=1,
        )
    return int(name) - 1


def _index_by_name(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        raise DataError(_missing_column(name, header), path=path, line=1)
    if header.count(name) > 1:
        raise DataError(f"the column name {name!r} occurs twice; rename one.", path=path, line=1)
    return header.index(name)


def _missing_column(name: str, present: list[str]) -> str:
    near = nearest(name, present)
    hint = f"; did you mean {near!r}?" if near else "."
    return f"there is no column {name!r}{hint} The columns are: {', '.join(present)}."


def _read_tsv(
    path: Path, lines: Iterator[str], columns: tuple[str, str]
) -> Iterator[tuple[int, tuple[str, str]]]:
    return _select_columns(path, _tsv_records(lines), columns, "a field may not hold a tab")


def _read_csv(
    path: Path, lines: Iterator[str], columns: tuple[str, str]
) -> Iterator[tuple[int, tuple[str, str]]]:
    hint = 'a field that holds a comma is written in "quotation marks"'
    return _select_columns(path, _csv_records(path, lines), columns, hint)


def _read_json_lines(
    path: Path, lines: Iterator[str], columns: tuple[str, str]
) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"not valid JSON ({error}); each line must be one JSON object.",
                path=path,
                line=number,
            ) from None
        if not isinstance(row, dict):
            raise DataError(
                f"got a JSON {type(row).__name__}; each line must be one JSON object.",
                path=path,
                line=number,
            )
        yield number, (_text(path, number, row, columns[0]), _text(path, number, row, columns[1]))


def _text(path: Path, number: int, row: dict[str, object], name: str) -> str:
    if name not in row:
        raise DataError(_missing_column(name, list(row)), path=path, line=number)
    value = row[name]
    if not isinstance(value, str):
        raise DataError(
            f"column {name!r} holds {json.dumps(value)[:40]}; expected a string.",
            path=path,
            line=number,
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(
            f"column {name!r} holds an unpaired surrogate (\\ud800 to \\udfff), which is not a character; remove it.",
            path=path,
            line=number,
        )
    return value


Reader = Callable[[Path, Iterator[str], tuple[str, str]], Iterator[tuple[int, tuple[str, str]]]]

FORMATS: dict[str, Reader] = {
    ".tsv": _read_tsv,
    ".tab": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}
"""File extension -> its reader, `FORMATS[extension](path, lines, columns)`; .gz may follow."""
