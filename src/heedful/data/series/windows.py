"""Windows of long series to forecast from: what is read, and the steps that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from heedful.data.dataset import Dataset
from heedful.data.series.series import Series, SeriesSet, Values, stretched, written
from heedful.errors import DataError


@dataclass(frozen=True)
class Window:
    """Some steps of a series, and those that follow."""

    read: Values
    """(at most window, features)."""
    following: Values
    """(horizon, features)."""


@dataclass(frozen=True)
class Windows(Dataset):
    """Windows of series, in order.

    >>> import numpy as np
    >>> series = SeriesSet([Series(np.arange(6.0)[:, None])])
    >>> found = windows_of(series, window=3, horizon=2, stride=1)
    >>> [each.following[:, 0].tolist() for each in found.windows]
    [[3.0, 4.0], [4.0, 5.0]]
    """

    windows: Sequence[Window]
    name: str = "windows"
    example: ClassVar[str] = "window"

    @property
    def inputs(self) -> list[Values]:
        """What is read."""
        return [each.read for each in self.windows]

    @property
    def answers(self) -> list[Values]:
        """The steps that follow."""
        return [each.following for each in self.windows]

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, rows: Sequence[int]) -> Windows:
        return Windows([self.windows[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return [written(each) for each in self.inputs], [written(each) for each in self.answers]

    def stretched(self, length: int) -> Values:
        return stretched(self.inputs, length)


def windows_of(series: SeriesSet, *, window: int, horizon: int, stride: int) -> Windows:
    """Cut series into windows of `window` steps that are each followed by `horizon` steps, `stride` steps apart.

    Raises: DataError for series that are all too short.
    """
    found = [
        Window(each.values[start : start + window], each.values[start + window :][:horizon])
        for each in series.series
        for start in range(0, len(each.values) - window - horizon + 1, stride)
    ]
    if not found:
        longest = max((len(each.values) for each in series.series), default=0)
        raise DataError(
            f"the longest series of {series.name} has {longest} steps, and {window} to read and {horizon} to "
            "forecast are wanted; give longer ones, or a smaller data.window.",
        )
    return Windows(found, series.name)


def split_by_time(series: SeriesSet, share: float, window: int) -> tuple[SeriesSet, SeriesSet]:
    """Split each series in two: the last `share` of its steps is for validation.

    Validation windows may read up to `window` steps before the split; what they forecast lies after it.

    >>> import numpy as np
    >>> train, valid = split_by_time(SeriesSet([Series(np.arange(10.0)[:, None])]), 0.2, 3)
    >>> train.inputs[0][:, 0].tolist()[-1], valid.inputs[0][:, 0].tolist()
    (7.0, [5.0, 6.0, 7.0, 8.0, 9.0])
    """
    early, late = [], []
    for each in series.series:
        at = len(each.values) - max(1, round(share * len(each.values)))
        if at > 0:
            early.append(Series(each.values[:at], (), each.name, each.path, each.line))
        after = each.values[max(0, at - window) :]
        late.append(Series(after, (), each.name, each.path, each.line))
    if not early:
        raise DataError(f"{series.name} is too short to cut validation steps off; give --valid.")
    return SeriesSet(early, series.name), SeriesSet(late, f"the last {share:g} of {series.name}")
