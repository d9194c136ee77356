"""Reader of series files: long tables (one row per step, grouped by an id), one file per series, tables of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from heedful.data.decoding import UTF8
from heedful.data.files import iterate_lines
from heedful.data.number import number_advice, read_number
from heedful.data.opening import MAX_LINE, check_file
from heedful.data.series.series import Series, Values, as_values
from heedful.data.series.ts import read_ts
from heedful.data.table_rows import TableRow
from heedful.data.tables import TABLES, extension, table_format
from heedful.data.text_rows import split_names
from heedful.data.words import canonical
from heedful.errors import DataError, listed, shown, unquoted

MISSING = frozenset({"", "?", "na", "nan", "n/a", "null", "none"})
"""Spellings of a missing value; case-insensitive."""


@dataclass(frozen=True, kw_only=True)
class SeriesColumns:
    """Column names of a table; empty if the table has no such column."""

    series: str = ""
    """Identifies the series of a row (long form). Without it each file is one series."""
    time: str = ""
    """Sort key of the rows of a series; without it they keep their order."""
    columns: tuple[str, ...] = ()
    """The features; empty: all columns not named here."""
    file: str = ""
    """Path of the file of each series, relative to the table."""
    answer: str = ""
    """The label or number of a series (equal in all its rows), or the label of each step."""
    has_numbers: bool = False
    """Whether the answer is a number; `answer` may then name several columns, separated by commas."""
    separator: str = ""
    """Separator of several labels in one field."""
    each_step: bool = False
    """Whether the answer is one label per step."""
    encoding: str = UTF8
    """Of the files of text."""
    max_line: int = MAX_LINE
    """Maximum bytes of a line of text."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The columns of the answer."""
        if not self.answer:
            return ()
        return split_names(self.answer) if self.has_numbers else (self.answer,)


def read_series(path: str | Path, columns: SeriesColumns, *, answers: bool = True) -> list[Series]:
    """Read the series of one file; the extension selects the format.

    `.ts` is the format of the UEA/UCR archive, `.npy` one array (length, features); `.tsv`, `.csv` and `.jsonl` are
    tables, plain or gzipped.

    Args:
        path: the file.
        columns: the columns of a table.
        answers: whether each series must have an answer.

    Raises: DataError naming file and line, for a file that is missing or of an unknown format, a missing column, a
        value that is not a number, or a series without an answer.
    """
    path = Path(path)
    check_file(path)
    suffix = extension(path)
    if suffix == ".ts":
        series = read_ts(path, columns.encoding, columns.max_line)
    elif suffix == ".npy":
        series = [Series(_read_npy(path), name=path.stem, path=path)]
    elif suffix in TABLES:
        series = list(_read_table(path, columns, answers=answers))
    else:
        raise DataError(
            f"unknown format {shown(suffix)}; the file name must end in one of .ts, .npy, {', '.join(TABLES)}.",
            path=path,
        )
    if not series:
        raise DataError("the file holds no series.", path=path)
    for each in series:
        if answers and not each.answer and not columns.separator:
            raise each.error(
                "the series has no answer; name its column, or use a file with classes."
            )
    return series


def has_column(path: str | Path, columns: SeriesColumns) -> bool:
    """Return whether a file is a table with the column of the series."""
    path = Path(path)
    check_file(path)
    if extension(path) not in TABLES:
        return False
    lines = iterate_lines(path, columns.encoding, max_line=columns.max_line)
    first = next(table_format(path).rows(path, lines, []), None)
    return first is not None and columns.series in (*first.fields, *first.fields.values())


def _read_npy(path: Path) -> Values:
    try:
        # Mapped into memory, a file that is smaller than its header says is an error instead of a huge array.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of arrays")
    except (
        Exception
    ) as error:  # the header is Python text, and so fails in as many ways as Python does
        raise DataError(
            f"not a NumPy array of numbers ({unquoted(error)}); write it with numpy.save.",
            path=path,
        ) from None
    return as_values(np.array(array), partial(DataError, path=path))


def _read_table(path: Path, columns: SeriesColumns, *, answers: bool) -> Iterator[Series]:
    wanted = columns.answers if answers else ()
    required = [name for name in (columns.series, columns.time, columns.file) if name]
    required += [*wanted, *columns.columns]
    lines = iterate_lines(path, columns.encoding, max_line=columns.max_line)
    rows = list(table_format(path).rows(path, lines, required))
    if not required:
        rows = _use_header(rows)
    if not rows:
        raise DataError("the file holds no rows.", path=path)
    if columns.file:
        for row in rows:
            yield _read_referenced_file(path, row, columns, wanted)
        return
    groups: dict[str, list[TableRow]] = {}
    for row in rows:
        name = _text(row, columns.series) if columns.series else path.stem
        groups.setdefault(name, []).append(row)
    others = {columns.series, columns.time, *columns.answers}
    features = columns.columns or tuple(name for name in rows[0].fields if name not in others)
    if not features:
        raise DataError(
            "no column is left for the values; name them.", path=path, line=rows[0].line
        )
    for name, group in groups.items():
        yield _series_from_rows(path, name, group, features, columns, wanted)


def _series_from_rows(
    path: Path,
    name: str,
    rows: list[TableRow],
    features: Sequence[str],
    columns: SeriesColumns,
    wanted: Sequence[str],
) -> Series:
    if columns.time:
        rows = sorted(rows, key=lambda row: _sort_key(row.value(columns.time)))
    values = np.array([[_parse_number(row, feature) for feature in features] for row in rows])
    answers: tuple[str, ...] = ()
    if wanted and columns.each_step:
        answers = tuple(_text(row, wanted[0]) for row in rows)
        if "" in answers:
            raise rows[answers.index("")].error(f"column {shown(wanted[0])} is empty; fill it in.")
    elif wanted:
        answers = _answers(name, rows, columns, wanted)
    lines = tuple(row.line or 0 for row in rows)
    return Series(values, answers, name, path, min(lines), lines)


def _answers(
    name: str, rows: Sequence[TableRow], columns: SeriesColumns, wanted: Sequence[str]
) -> tuple[str, ...]:
    """Return the answers of a series, which all its rows repeat; of several numbers some may be missing."""
    found = []
    for column in wanted:
        distinct = list(dict.fromkeys(_text(row, column) for row in rows))
        if len(distinct) > 1:
            raise rows[0].error(
                f"series {shown(name)} has several answers: {', '.join(distinct[:5])}; expected one."
            )
        found += distinct
    if not any(found) and not columns.separator:
        raise rows[0].error(f"column {shown(wanted[0])} is empty; fill it in.")
    return tuple(found) if columns.has_numbers else _split_labels(found[0], columns.separator)


def _use_header(rows: list[TableRow]) -> list[TableRow]:
    """Treat the first row as a header if it holds non-numbers; the table reader does so only for named columns."""
    first = rows[0].fields if rows else {}
    if all(name.isdecimal() for name in first) and not all(map(_is_number, first.values())):
        names = [str(name) for name in first.values()]
        return [
            TableRow(
                row.path, row.line, row.raw, dict(zip(names, row.fields.values(), strict=True))
            )
            for row in rows[1:]
        ]
    return rows


def _is_number(value: object) -> bool:
    return str(value).strip().lower() in MISSING or read_number(str(value)) is not None


def _is_missing(value: Any) -> bool:
    """Return whether a value of Python is missing: None, or the NaN of a data frame."""
    return value is None or value != value


def _read_referenced_file(
    path: Path, row: TableRow, columns: SeriesColumns, wanted: Sequence[str]
) -> Series:
    """Read the file that a row refers to, with the answer of the row."""
    series_path = path.parent / _text(row, columns.file)
    inner_columns = SeriesColumns(
        time=columns.time,
        columns=columns.columns,
        answer=columns.answer if columns.each_step else "",
        each_step=columns.each_step,
        encoding=columns.encoding,
        max_line=columns.max_line,
    )
    series = read_series(series_path, inner_columns, answers=bool(wanted) and columns.each_step)
    if len(series) != 1:
        raise DataError(
            f"{series_path} holds {len(series)} series; expected one.", path=path, line=row.line
        )
    answers = series[0].answer
    if wanted and not columns.each_step:
        answers = _answers(str(row.value(columns.file)), [row], columns, wanted)
    if columns.each_step:  # errors are about the steps in that file
        return replace(series[0], name=str(row.value(columns.file)))
    return Series(series[0].values, answers, str(row.value(columns.file)), path, row.line)


def _split_labels(text: str, separator: str) -> tuple[str, ...]:
    if not separator:
        return (canonical(text),)
    return tuple(
        dict.fromkeys(canonical(part.strip()) for part in text.split(separator) if part.strip())
    )


def _text(row: TableRow, column: str) -> str:
    value = row.value(column)
    if isinstance(value, str):
        return canonical(" ".join(value.split()))
    return "" if value is None else str(value)


def _sort_key(time: object) -> tuple[int, float, str]:
    """Sort numbers by value, before texts such as dates in ISO 8601."""
    number = read_number(str(time))
    return (1, 0.0, str(time)) if number is None else (0, number, "")


def _parse_number(row: TableRow, column: str) -> float:
    value = row.value(column)
    if value is None or str(value).strip().lower() in MISSING:
        return float("nan")
    number = read_number(str(value))
    if number is None or isinstance(value, bool):
        raise row.error(
            f"column {shown(column)} holds {shown(str(value)[:40])}; expected a number, or an empty field if it is "
            f"missing: {number_advice(str(value))}."
        )
    return number


def series_of_rows(
    rows: Sequence[Mapping[str, object]], columns: SeriesColumns, name: str
) -> list[Series]:
    """Convert mappings, one per series, with the numbers under "values" and the answer under its column.

    Raises: DataError naming the example.

    >>> [series] = series_of_rows([{"values": [1, 2], "label": "up"}], SeriesColumns(answer="label"), "train")
    >>> series.values.shape, series.answer
    ((2, 1), ('up',))
    """
    series = []
    for number, row in enumerate(rows, start=1):
        origin = Path(f"example {number} of {name}")
        required = ["values", *columns.answers]
        for column in required:
            if column not in row:
                raise DataError(f"there is no {shown(column)}; got {listed(row)}.", path=origin)
        given = [row[column] for column in columns.answers]
        if columns.has_numbers:
            answers = tuple("" if _is_missing(each) else str(each) for each in given)
        elif given and isinstance(given[0], list | tuple):
            answers = tuple(map(str, given[0]))
        else:
            answers = _split_labels(str(given[0]), columns.separator) if given else ()
        values = as_values(row["values"], partial(DataError, path=origin))
        series.append(Series(values, answers, str(number), origin))
    return series
