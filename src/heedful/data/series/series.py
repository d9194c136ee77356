"""A series of vectors of numbers with its answer, and datasets of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from heedful.data.dataset import Dataset
from heedful.errors import DataError

Values = NDArray[np.float64]
"""(length, features); NaN where a value is missing."""


@dataclass(frozen=True, eq=False)
class Series:
    """One series.

    >>> Series(np.array([[1.0], [np.nan]]), ("up",), name="first").values.shape
    (2, 1)
    """

    values: Values
    answer: tuple[str, ...] = ()
    """A label, several labels, a number as it is written, or a label a step; empty where there is none."""
    name: str = ""
    path: Path | None = None
    line: int | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or 0 in self.values.shape:
            raise self.error(
                f"the series has shape {self.values.shape}; wanted (length, features), neither of them 0."
            )
        if np.isinf(self.values).any():
            raise self.error("the series holds infinity; leave the value empty if it is missing.")

    def error(self, message: str) -> DataError:
        """Return the error of this series, with its file and line."""
        return DataError(message, path=self.path, line=self.line)


@dataclass(frozen=True)
class SeriesSet(Dataset):
    """Series of one or several files, in order; all have as many features.

    Raises: DataError naming the file, for a series of another number of features.
    """

    series: Sequence[Series]
    name: str = "series"
    example: ClassVar[str] = "series"

    def __post_init__(self) -> None:
        for each in self.series:
            wanted, got = self.series[0].values.shape[1], each.values.shape[1]
            if got != wanted:
                raise each.error(f"the series has {got} features, and the first has {wanted}.")

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
        return [written(each) for each in self.inputs], ["\n".join(a) for a in self.answers]

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def stretched(self, length: int) -> Values:
        return stretched(self.inputs, length)

    def showcase(self, count: int) -> list[Values]:
        return sorted(self.inputs, key=len)[:count]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        each = self.series[row]
        line = each.line
        if line is not None and len(each.answer) == len(each.values):
            line += position
        return DataError(message, path=each.path, line=line)


def last_known(values: Values) -> Values:
    """Return the last known value of each feature; NaN where none is known.

    >>> last_known(np.array([[1.0, 5.0], [2.0, np.nan]])).tolist()
    [2.0, 5.0]
    """
    at = len(values) - 1 - (~np.isnan(values[::-1])).argmax(axis=0)
    found: Values = values[at, np.arange(values.shape[1])]
    return found


def stretched(inputs: Sequence[Values], length: int) -> Values:
    """Return `length` steps of these series, beginning again where they end."""
    steps = np.concatenate(list(inputs))
    return steps[np.arange(length) % len(steps)]


def written(values: Values) -> str:
    """Return values as text, exactly, for fingerprints."""
    return f"{values.shape} {values.tobytes().hex()}"


def as_values(found: Any, error: partial[DataError] | type[DataError] = DataError) -> Values:
    """Return an array, nested lists or one list of numbers as (length, features); None is a missing value.

    Raises: DataError for what holds anything else.

    >>> as_values([1, None, 3]).shape, as_values([[1, 2]]).shape
    ((3, 1), (1, 2))
    """
    try:
        values = np.array(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise error(
            "a series of numbers is wanted: a list of rows of one length, or one list of numbers."
        ) from None
    return values[:, None] if values.ndim == 1 else values
