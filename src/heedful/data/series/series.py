"""A multivariate time series with its answer, and datasets of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from heedful.data.dataset import Dataset
from heedful.errors import DataError

Values = NDArray[np.float64]
"""(length, features); NaN for a missing value."""


@dataclass(frozen=True, eq=False)
class Series:
    """One series.

    >>> Series(np.array([[1.0], [np.nan]]), ("up",), name="first").values.shape
    (2, 1)
    """

    values: Values
    answer: tuple[str, ...] = ()
    """One label, several labels, a number as text, or a label per step; empty if there is none."""
    name: str = ""
    path: Path | None = None
    line: int | None = None
    step_lines: tuple[int, ...] = ()
    """The line of each step, where each has one."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or 0 in self.values.shape:
            raise self.error(
                f"the series has shape {self.values.shape}; expected (length, features), both 1 or more."
            )
        if np.isinf(self.values).any():
            raise self.error("the series holds infinity; leave the value empty if it is missing.")

    def error(self, message: str) -> DataError:
        """Return an error about this series, with its file and line."""
        return DataError(message, path=self.path, line=self.line)


@dataclass(frozen=True)
class SeriesSet(Dataset):
    """The series of one or several files, in order; all have the same number of features.

    Raises: DataError naming the file, for a series with a different number of features.
    """

    series: Sequence[Series]
    name: str = "series"
    example: ClassVar[str] = "series"

    def __post_init__(self) -> None:
        for each in self.series:
            expected, got = self.series[0].values.shape[1], each.values.shape[1]
            if got != expected:
                raise each.error(f"the series has {got} features; the first series has {expected}.")

    @property
    def inputs(self) -> list[Values]:
        """The values of each series."""
        return [each.values for each in self.series]

    @property
    def answers(self) -> list[tuple[str, ...]]:
        """The answer of each series."""
        return [each.answer for each in self.series]

    def __len__(self) -> int:
        return len(self.series)

    def take(self, rows: Sequence[int]) -> SeriesSet:
        return SeriesSet([self.series[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return [exact_text(each) for each in self.inputs], ["\n".join(a) for a in self.answers]

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def input_of_length(self, length: int) -> Values:
        return repeat_steps(self.inputs, length)

    def showcase(self, count: int) -> list[Values]:
        return sorted(self.inputs, key=len)[:count]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        each = self.series[row]
        line = each.line
        if each.step_lines and len(each.answer) == len(each.values):
            line = each.step_lines[position]
        return DataError(message, path=each.path, line=line)


def last_known(values: Values) -> Values:
    """Return the last known value of each feature; NaN where none is known.

    >>> last_known(np.array([[1.0, 5.0], [2.0, np.nan]])).tolist()
    [2.0, 5.0]
    """
    at = len(values) - 1 - (~np.isnan(values[::-1])).argmax(axis=0)
    last: Values = values[at, np.arange(values.shape[1])]
    return last


def repeat_steps(inputs: Sequence[Values], length: int) -> Values:
    """Return `length` steps of the concatenated series, starting over at the end."""
    steps = np.concatenate(list(inputs))
    return steps[np.arange(length) % len(steps)]


def exact_text(values: Values) -> str:
    """Return values as text without loss, for fingerprints."""
    return f"{values.shape} {values.tobytes().hex()}"


def as_values(data: Any, error: Callable[[str], DataError] = DataError) -> Values:
    """Convert an array, nested lists or a flat list of numbers to (length, features); None becomes NaN.

    Raises: DataError for anything else; `error` builds it from a message.

    >>> as_values([1, None, 3]).shape, as_values([[1, 2]]).shape
    ((3, 1), (1, 2))
    """
    try:
        values = np.array(data, dtype=np.float64)
    except (TypeError, ValueError):
        raise error(
            "expected a series of numbers: a list of rows of equal length, or a flat list of numbers."
        ) from None
    return values[:, None] if values.ndim == 1 else values
