"""Sliding windows over long series for forecasting, and splits by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from heedful.data.dataset import Dataset
from heedful.data.series.series import (
    Series,
    SeriesSet,
    Values,
    exact_text,
    last_known,
    repeat_steps,
)
from heedful.errors import DataError


@dataclass(frozen=True)
class Window:
    """Consecutive steps of a series, and the steps to forecast from them."""

    history: Values
    """(window, features)."""
    future: Values
    """(horizon, features)."""


@dataclass(frozen=True)
class Windows(Dataset):
    """The windows of series, in order.

    >>> import numpy as np
    >>> series = SeriesSet([Series(np.arange(6.0)[:, None])])
    >>> data = sliding_windows(series, window=3, horizon=2, stride=1)
    >>> [window.future[:, 0].tolist() for window in data.windows]
    [[3.0, 4.0], [4.0, 5.0]]
    """

    windows: Sequence[Window]
    name: str = "windows"
    example: ClassVar[str] = "window"

    @property
    def inputs(self) -> list[Values]:
        """The history of each window."""
        return [window.history for window in self.windows]

    @property
    def answers(self) -> list[Values]:
        """The future of each window."""
        return [window.future for window in self.windows]

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, rows: Sequence[int]) -> Windows:
        return Windows([self.windows[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return list(map(exact_text, self.inputs)), list(map(exact_text, self.answers))

    def input_of_length(self, length: int) -> Values:
        return repeat_steps(self.inputs, length)


def sliding_windows(
    series: SeriesSet, *, window: int, horizon: int, stride: int, relative: bool = False
) -> Windows:
    """Split series into windows of `window` steps with `horizon` steps after each, starting `stride` steps apart.

    A window whose history or future is all missing is left out.

    Args:
        series: the series to split.
        window: steps of history.
        horizon: steps of future.
        stride: steps between the starts of two windows.
        relative: subtract the last known value of each feature of the history from history and future; a window in
            which a feature has none is left out.

    Raises: DataError if all series are too short, or have no such window.
    """
    windows = [
        Window(each.values[start : start + window], each.values[start + window :][:horizon])
        for each in series.series
        for start in range(0, len(each.values) - window - horizon + 1, stride)
    ]
    if not windows:
        longest = max((len(each.values) for each in series.series), default=0)
        raise DataError(
            f"the longest series of {series.name} has {longest} steps; a window of {window} and a horizon of "
            f"{horizon} need {window + horizon}. Give longer series, or a smaller data.steps.",
        )
    useful = [each for each in windows if _has_known_values(each, relative)]
    if not useful:
        raise DataError(
            f"no window of {series.name} has a known value to read and one to forecast."
        )
    return Windows([_relative(each) for each in useful] if relative else useful, series.name)


def _has_known_values(window: Window, relative: bool) -> bool:
    """Return whether the history (for a relative window each feature of it) and the future have a known value."""
    unknown = np.isnan(window.history).all(axis=0)
    no_history = unknown.any() if relative else unknown.all()
    return not no_history and not np.isnan(window.future).all()


def _relative(window: Window) -> Window:
    level = last_known(window.history)
    return Window(window.history - level, window.future - level)


def split_by_time(series: SeriesSet, share: float, window: int) -> tuple[SeriesSet, SeriesSet]:
    """Split each series in time into (training, validation); `share` is the fraction of steps for validation.

    The validation part also includes the last `window` training steps as history; all its forecasts lie after
    the split.

    Raises: DataError if no step is left for training.

    >>> import numpy as np
    >>> train, valid = split_by_time(SeriesSet([Series(np.arange(10.0)[:, None])]), 0.2, 3)
    >>> train.inputs[0][:, 0].tolist()[-1], valid.inputs[0][:, 0].tolist()
    (7.0, [5.0, 6.0, 7.0, 8.0, 9.0])
    """
    early, late = [], []
    for each in series.series:
        split = len(each.values) - max(1, round(share * len(each.values)))
        if split > 0:
            early.append(Series(each.values[:split], (), each.name, each.path, each.line))
        after = each.values[max(0, split - window) :]
        late.append(Series(after, (), each.name, each.path, each.line))
    if not early:
        raise DataError(f"{series.name} is too short to split off validation steps; give --valid.")
    return SeriesSet(early, series.name), SeriesSet(late, f"the last {share:g} of {series.name}")
