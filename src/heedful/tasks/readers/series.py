"""Series of numbers: tables, arrays and `.ts` files, with an answer a series, a label a step, or what comes next."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from heedful.data.label_diagnosis import diagnose_labels
from heedful.data.opening import check_file
from heedful.data.series.series import Series, SeriesSet, Values, as_values
from heedful.data.series.tables import SeriesColumns, has_column, read_series, series_of_rows
from heedful.data.series.windows import Windows, sliding_windows, split_by_time
from heedful.errors import DataError, listed, shown
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TextFiles,
    is_builtin,
)

Kind = Literal["label", "number", "steps"]


class SeriesData(TextFiles):
    """Where the series come from."""

    train: tuple[str, ...] = Field(
        (),
        description="Training files: .ts, .npy, or a table (.tsv, .csv, .jsonl; .gz is read in place); or "
        '"builtin:waves".',
    )
    valid: tuple[str, ...] = Field((), description="Validation files, given in the same way.")
    valid_share: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Without validation files: the share of the training series, or in forecasting of their last "
        "steps, that is cut off for it.",
    )
    valid_seed: int = Field(0, ge=0, description="Which series are cut off.")
    series: str = Field(
        "", description="Column that names the series of a row; empty: each file is one series."
    )
    time: str = Field("", description="Column that sorts the rows of a series; empty: as they are.")
    columns: tuple[str, ...] = Field(
        (), description="Columns of the values; empty: all that are named nowhere else."
    )
    file: str = Field("", description="Column that names a file for each series.")
    max_length: int = Field(
        10_000, ge=1, description="Longer training series, in steps, are left out."
    )

    @property
    def window(self) -> int | None:
        """Steps that are read of a series, the last ones; None: all."""
        return None

    @property
    def is_relative(self) -> bool:
        """Whether a series is read relative to its last known values."""
        return False

    @property
    def answer(self) -> str:
        """The column of the answers; empty where there is none."""
        return ""

    def columns_of(self, *, each_step: bool, has_numbers: bool = False) -> SeriesColumns:
        """Return how tables are read."""
        return SeriesColumns(
            series=self.series,
            time=self.time,
            columns=self.columns,
            file=self.file,
            answer=self.answer,
            each_step=each_step,
            has_numbers=has_numbers,
            encoding=self.encoding,
            max_line=self.max_line,
        )


class SeriesReader(Reader):
    """Reads series, each with an answer.

    Args:
        kind: what the answer is.
    """

    reads_lines = False
    takes_files = True
    train_hint = "--train FILE.csv, FILE.ts, or --train builtin:waves"
    input_hint = "an array or a list of numbers, or of rows of numbers, or the name of a file"

    def __init__(self, kind: Kind):
        self.kind = kind

    def columns(self, data: Any) -> SeriesColumns:
        """Return how tables are read."""
        found: SeriesColumns = data.columns_of(
            each_step=self.kind == "steps", has_numbers=self.kind == "number"
        )
        return found

    def builtin(self, name: str, data: Any, part: Part) -> Any:
        from heedful.data.builtin import load_builtin_series

        corpus = load_builtin_series(name)
        return corpus.with_answers(corpus.part(part), self.kind)

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> Any:
        read = [series for path in paths for series in read_series(path, self.columns(data))]
        return SeriesSet(read, " + ".join(paths))

    def check_split(self) -> None:
        """A share of the series is cut off."""

    def split(self, train: SeriesSet, data: Any) -> tuple[SeriesSet, SeriesSet]:
        """Cut validation series off, drawn by `data.valid_seed`: a share of those of each label."""
        groups: dict[object, list[int]] = {}
        for row, answer in enumerate(train.answers):
            groups.setdefault(answer if self.kind == "label" else None, []).append(row)
        draw, chosen = random.Random(data.valid_seed), set[int]()
        for key in sorted(groups, key=str):
            chosen.update(draw.sample(groups[key], int(len(groups[key]) * data.valid_share)))
        if not chosen:
            reason = diagnose_labels(train.answers, train.example, data.answer)
            if self.kind == "label" and reason is not None:
                raise DataError(f"{train.name}: {reason}")
            raise DataError(
                f"{len(train)} series are too few to cut a share of {data.valid_share} off for validation; give "
                "more, or --valid."
            )
        rows = range(len(train))
        return train.take([r for r in rows if r not in chosen]), train.take(sorted(chosen))

    def from_rows(self, rows: Rows, data: Any, name: str) -> SeriesSet:
        columns = replace(self.columns(data), each_step=False)
        return SeriesSet(series_of_rows(rows, columns, name), name)

    def input_of_row(self, row: Mapping[str, Any], data: Any, name: str) -> Values:
        if "values" not in row:
            raise DataError(f"{name} has no 'values'; its keys are {listed(row)}.")
        wrong = DataError(
            f"{name}: 'values' is {row['values']!r:.40}; expected a list of numbers, or of rows of them."
        )
        return _checked(row["values"], name, wrong)

    def check_input(self, given: Any, name: str) -> Values:
        return _checked(given, name, self.wrong_input(given, name))

    def parse(self, text: str, data: Any) -> Values:
        """Read the one series of a file, or of several the one that FILE:NAME names; `.ts` numbers them from 1.

        Raises: DataError for a file of several without a name, or without one of this name.
        """
        name = ""
        if not Path(text).exists() and Path(text.rpartition(":")[0]).is_file():
            text, _, name = text.rpartition(":")
        columns = replace(self.columns(data), file="")
        if columns.series and not has_column(text, columns):
            columns = replace(columns, series="")
        found = read_series(text, columns, answers=False)
        if name:
            found = [each for each in found if each.name == name]
            if not found:
                raise DataError(f"the file holds no series of the name {shown(name)}.", path=text)
        if len(found) > 1:
            raise DataError(
                f"the file holds {len(found)} series; name one of them, such as {text}:{found[0].name}.",
                path=text,
            )
        return found[0].values

    def to_argument(self, example: Values) -> str:
        return "FILE"

    def to_json(self, example: Values) -> dict[str, Any]:
        return {"steps": len(as_values(example))}

    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        check_file(source.path)
        return _SeriesStream(source.path, self.columns(data), output)


def _checked(given: Any, name: str, wrong: DataError) -> Values:
    """Return a series given in Python; raise `wrong` unless it holds numbers."""
    values = as_values(given, lambda message: wrong)
    if not values.ndim:
        raise wrong
    return Series(values, path=Path(name)).values


class ForecastReader(SeriesReader):
    """Reads series without answers, and cuts them into windows and what follows them."""

    def __init__(self) -> None:
        super().__init__("steps")

    def builtin(self, name: str, data: Any, part: Part) -> Any:
        return self._windows(super().builtin(name, data, part), data)

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> Any:
        return self._windows(self._series(paths, data), data)

    def _series(self, paths: Sequence[str], data: Any) -> SeriesSet:
        columns = data.columns_of(each_step=False)
        read = [series for path in paths for series in read_series(path, columns, answers=False)]
        return SeriesSet(read, " + ".join(paths))

    def read_training(self, data: Any) -> tuple[Any, Any]:
        if not data.train or data.valid or is_builtin(data.train):
            return super().read_training(data)
        return self.split(self._series(data.train, data), data)

    def split(self, train: Any, data: Any) -> tuple[Any, Any]:
        """Cut the last steps of each series off for validation."""
        early, late = split_by_time(train, data.valid_share, data.window)
        return self._windows(early, data), self._windows(late, data)

    def _windows(self, series: SeriesSet, data: Any) -> Windows:
        return sliding_windows(
            series,
            window=data.window,
            horizon=data.horizon,
            stride=data.stride,
            relative=data.relative,
        )


class _SeriesStream(Stream):
    unit = "series"

    def __init__(self, path: Path, columns: SeriesColumns, output: OutputFormat):
        self.path, self.columns, self.output = path, columns, output

    def items(self) -> Iterator[Series]:
        yield from read_series(self.path, self.columns, answers=False)

    def input(self, item: Series) -> Values:
        return item.values

    def location(self, item: Series, number: int) -> str:
        return item.error("").where or super().location(item, number)

    def header(self) -> str:
        return "\t".join(["series", *self.output.columns]) + "\n"

    def format(
        self, item: Series, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        shown = (
            " ".join(each) if isinstance(each, list | tuple) else _shown(each) for each in cells
        )
        return "\t".join([item.name, *shown]) + "\n"

    def to_json(self, item: Series, number: int) -> dict[str, Any]:
        return {"series": item.name}


def _shown(cell: Any) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
