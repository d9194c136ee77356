"""Windows of long series to forecast from: what is read, and the steps that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from heedful.data.dataset import Dataset
from heedful.data.series.series import Series, SeriesSet, Values, last_known, stretched, written
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


def windows_of(
    series: SeriesSet, *, window: int, horizon: int, stride: int, relative: bool = False
) -> Windows:
    """Cut series into windows of `window` steps that are each followed by `horizon` steps, `stride` steps apart.

    A window without a known value to read, or without one to forecast, is left out.

    Args:
        series: what is cut.
        window: steps that are read.
        horizon: steps that follow.
        stride: steps between the starts of two windows.
        relative: whether the last known value of each feature that is read is taken off all that is read and that
            follows; a window in which a feature has none is left out.

    Raises: DataError for series that are all too short, or have no such window.
    """
    every = [
        Window(each.values[start : start + window], each.values[start + window :][:horizon])
        for each in series.series
        for start in range(0, len(each.values) - window - horizon + 1, stride)
    ]
    if not every:
        longest = max((len(each.values) for each in series.series), default=0)
        raise DataError(
            f"the longest series of {series.name} has {longest} steps, and {window} to read and {horizon} to "
            "forecast are wanted; give longer ones, or a smaller data.steps.",
        )
    found = [each for each in every if _is_useful(each, relative)]
    if not found:
        raise DataError(
            f"no window of {series.name} has a known value to read and one to forecast."
        )
    return Windows([_relative(each) for each in found] if relative else found, series.name)


def _is_useful(window: Window, relative: bool) -> bool:
    """Return whether something is known to read (of each feature, for a relative window) and to forecast."""
    unknown = np.isnan(window.read).all(axis=0)
    nothing_read = unknown.any() if relative else unknown.all()
    return not nothing_read and not np.isnan(window.following).all()


def _relative(window: Window) -> Window:
    level = last_known(window.read)
    return Window(window.read - level, window.following - level)


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
