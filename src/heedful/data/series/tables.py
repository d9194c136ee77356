"""Series in tables: long form (a row a step, series by an id), wide form (a file a series), and tables of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from heedful.data.files import check_file, iterate_lines
from heedful.data.series.series import Series, Values, as_values
from heedful.data.series.ts import read_ts
from heedful.data.text_tables import TEXT_TABLES, TableRow, check_columns, text_table
from heedful.errors import DataError

MISSING = frozenset({"", "?", "na", "nan", "n/a", "null", "none"})
"""How a missing value is written, in any case."""


@dataclass(frozen=True, kw_only=True)
class SeriesColumns:
    """Which columns of a table hold what; empty where the table has none of that."""

    series: str = ""
    """Names the series of a row: long form. Without it each file is one series."""
    time: str = ""
    """Sorts the rows of a series; without it they stay in their order."""
    columns: tuple[str, ...] = ()
    """The features; without names every column that is not named here."""
    file: str = ""
    """Names a file for each series, relative to the table."""
    answer: str = ""
    """The label or the number of a series (the same in all its rows), or the label of each step."""
    separator: str = ""
    """Parts several labels in one field."""
    each_step: bool = False
    """Whether the answer is a label a step."""


def read_series(path: str | Path, columns: SeriesColumns, *, answers: bool = True) -> list[Series]:
    """Read the series of one file; what it is, its ending says.

    `.ts` is the format of the UEA/UCR archive, `.npy` one array (length, features), `.tsv`, `.csv` and `.jsonl` are
    tables, which may be gzipped.

    Args:
        path: the file.
        columns: of tables.
        answers: whether each series must have an answer.

    Raises: DataError naming file and line, for a file that is missing or of another format, a column that is not there,
        a value that is no number, or a series without an answer.
    """
    path = Path(path)
    check_file(path)
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix == ".ts":
        found = read_ts(path)
    elif suffix == ".npy":
        found = [Series(_array(path), name=path.stem, path=path)]
    elif suffix in TEXT_TABLES:
        found = list(_table(path, columns, answers=answers))
    else:
        raise DataError(
            f"the name does not tell the format; name it one of .ts, .npy, {', '.join(TEXT_TABLES)}.",
            path=path,
        )
    if not found:
        raise DataError("the file holds no series.", path=path)
    for each in found:
        if answers and not each.answer and not columns.separator:
            raise each.error(
                "the series has no answer; name its column, or use a file with classes."
            )
    return found


def has_column(path: str | Path, column: str) -> bool:
    """Return whether a file is a table with a column of this name."""
    path = Path(path)
    check_file(path)
    if (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower() not in TEXT_TABLES:
        return False
    first = next(text_table(path).rows(path, iterate_lines(path), []), None)
    return first is not None and column in (*first.fields, *first.fields.values())


def _array(path: Path) -> Values:
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"not an array of numbers that NumPy wrote ({error}).", path=path) from None
    return as_values(found, partial(DataError, path=path))


def _table(path: Path, columns: SeriesColumns, *, answers: bool) -> Iterator[Series]:
    answer = columns.answer if answers else ""
    wanted = [name for name in (columns.series, columns.time, columns.file, answer) if name]
    named = [*wanted, *columns.columns]
    rows = list(text_table(path).rows(path, iterate_lines(path), named))
    if not named:
        rows = _with_header(rows)
    if not rows:
        raise DataError("the file holds no rows.", path=path)
    if columns.file:
        for row in rows:
            yield _named_file(path, row, columns, answer)
        return
    groups: dict[str, list[TableRow]] = {}
    for row in rows:
        name = _text(row, columns.series) if columns.series else path.stem
        groups.setdefault(name, []).append(row)
    others = {columns.series, columns.time, columns.answer}
    features = columns.columns or tuple(name for name in rows[0].fields if name not in others)
    if not features:
        raise DataError("no column is left for the values.", path=path, line=rows[0].line)
    for name, group in groups.items():
        yield _series(path, name, group, features, columns, answer)


def _series(
    path: Path,
    name: str,
    rows: list[TableRow],
    features: Sequence[str],
    columns: SeriesColumns,
    answer: str,
) -> Series:
    if columns.time:
        rows = sorted(rows, key=lambda row: _time(row.fields[columns.time]))
    first = rows[0]
    values = np.array([[_number(path, row, each) for each in features] for row in rows])
    found: tuple[str, ...] = ()
    if answer and columns.each_step:
        found = tuple(_text(row, answer) for row in rows)
    elif answer:
        given = dict.fromkeys(_text(row, answer) for row in rows)
        if len(given) > 1:
            raise DataError(
                f"series {name!r} has several answers: {', '.join(list(given)[:5])}; one is wanted.",
                path=path,
                line=first.line,
            )
        found = _parts(next(iter(given)), columns.separator)
    if "" in found:
        raise DataError(f"column {answer!r} is empty; fill it in.", path=path, line=first.line)
    return Series(values, found, name, path, first.line)


def _with_header(rows: list[TableRow]) -> list[TableRow]:
    """Take the first row for a header if it holds anything but numbers; no column was named, so that tables do not."""
    first = rows[0].fields if rows else {}
    if all(name.isdecimal() for name in first) and not all(map(_is_number, first.values())):
        names = [str(each) for each in first.values()]
        return [
            TableRow(row.line, row.raw, dict(zip(names, row.fields.values(), strict=True)))
            for row in rows[1:]
        ]
    return rows


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return str(value).strip().lower() in MISSING
    return True


def _named_file(path: Path, row: TableRow, columns: SeriesColumns, answer: str) -> Series:
    """Read the file that a row names, and take the answer of the row."""
    place = path.parent / _text(row, columns.file)
    inner = SeriesColumns(
        time=columns.time,
        columns=columns.columns,
        answer=columns.answer if columns.each_step else "",
        each_step=columns.each_step,
    )
    found = read_series(place, inner, answers=bool(answer) and columns.each_step)
    if len(found) != 1:
        raise DataError(
            f"{place} holds {len(found)} series; one is wanted.", path=path, line=row.line
        )
    given = found[0].answer
    if answer and not columns.each_step:
        given = _parts(_text(row, answer), columns.separator)
    return Series(found[0].values, given, str(row.fields[columns.file]), path, row.line)


def _parts(text: str, separator: str) -> tuple[str, ...]:
    if not separator:
        return (text,)
    return tuple(dict.fromkeys(part.strip() for part in text.split(separator) if part.strip()))


def _text(row: TableRow, column: str) -> str:
    value = row.fields[column]
    return " ".join(value.split()) if isinstance(value, str) else str(value)


def _time(value: object) -> tuple[int, float, str]:
    """Sort numbers by size, and before texts, such as dates in ISO 8601."""
    try:
        return 0, float(str(value)), ""
    except ValueError:
        return 1, 0.0, str(value)


def _number(path: Path, row: TableRow, column: str) -> float:
    check_columns(path, list(row.fields), [column], row.line)
    value = row.fields[column]
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return float("nan")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DataError(
            f"column {column!r} holds {str(value)[:40]!r}; a number is wanted, or nothing where it is missing.",
            path=path,
            line=row.line,
        ) from None


def series_of_rows(
    rows: Sequence[Mapping[str, object]], columns: SeriesColumns, name: str
) -> list[Series]:
    """Make series of mappings, one a series: its numbers under "values", its answer under its column.

    Raises: DataError naming the example.

    >>> [found] = series_of_rows([{"values": [1, 2], "label": "up"}], SeriesColumns(answer="label"), "train")
    >>> found.values.shape, found.answer
    ((2, 1), ('up',))
    """
    found = []
    for number, row in enumerate(rows, start=1):
        place = Path(f"example {number} of {name}")
        wanted = ["values", columns.answer] if columns.answer else ["values"]
        for column in wanted:
            if column not in row:
                raise DataError(f"there is no {column!r}; got {', '.join(row)}.", path=place)
        answer: object = row[columns.answer] if columns.answer else ()
        if isinstance(answer, list | tuple):
            given = tuple(map(str, answer))
        else:
            given = _parts(str(answer), columns.separator)
        values = as_values(row["values"], partial(DataError, path=place))
        found.append(Series(values, given, str(number), place))
    return found
