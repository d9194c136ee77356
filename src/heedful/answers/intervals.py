"""Split conformal prediction: intervals around predicted numbers that hold the truth as often as they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from heedful import run_folder
from heedful.errors import OptionError, RunError
from heedful.stored_files import read_json
from heedful.strict_json import to_strict_json

INTERVALS: Final = "intervals.json"
"""The file of a run folder that holds what intervals are made of; a run without one has none."""
MIN_EXAMPLES: Final = 20
"""Fewer validation examples than this give no intervals."""
MOST_KEPT: Final = 1000
"""Of more residuals so many are kept, rounded up, so that intervals get no narrower."""
REPORTED: Final = 0.9
"""The level at which `heedful evaluate` reports how often intervals hold the truth."""
_FORMAT: Final = "heedful intervals 1"

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class TargetIntervals:
    """Scaled residuals of one target on validation data.

    >>> found = TargetIntervals.fit(np.arange(1.0, 40.0), np.zeros(39))
    >>> found.half_width(0.9, np.zeros(1)).tolist()
    [36.0]
    """

    count: int
    """Validation examples with this target."""
    residuals: tuple[float, ...]
    """Ascending; all of them, or about `MOST_KEPT`."""
    floor: float
    """Added to the deviation of an ensemble, so that members that agree by chance leave some width; 1 without one."""

    @classmethod
    def fit(cls, residuals: Numbers, deviations: Numbers) -> Self:
        """Sort the absolute residuals, each divided by the deviation of the members there.

        Args:
            residuals: (examples,), absolute.
            deviations: (examples,), between the members of an ensemble; all 0 without one.
        """
        floor = float(np.median(deviations)) or 1.0
        ordered = np.sort(residuals / (deviations + floor))
        step = math.ceil(len(ordered) / MOST_KEPT)
        places = (
            np.minimum(np.arange(1, math.ceil(len(ordered) / step) + 1) * step, len(ordered)) - 1
        )
        return cls(len(ordered), tuple(ordered[places].tolist()), floor)

    def half_width(self, level: float, deviations: Numbers) -> Numbers:
        """Return half the width of the intervals of a level, for examples with these deviations.

        Raises: OptionError for a level that so few validation examples cannot give.
        """
        place = math.ceil((self.count + 1) * level)
        if not 0 < level < 1 or place > self.count:
            raise OptionError(
                f"an interval of {level:g} was asked for; the run has {self.count} validation examples, enough for "
                f"levels above 0 up to {self.count / (self.count + 1):.3g}"
            )
        step = math.ceil(self.count / len(self.residuals))
        return self.residuals[math.ceil(place / step) - 1] * (deviations + self.floor)


@dataclass(frozen=True)
class Intervals:
    r"""Intervals of a level :math:`1 - \alpha` around predictions (Lei et al. 2018, https://arxiv.org/abs/1604.04173).

    .. math:: \hat y \pm q\,(\sigma + \sigma_0), \quad q = \text{the } \lceil (n + 1)(1 - \alpha) \rceil
        \text{-th smallest of } |y_i - \hat y_i| / (\sigma_i + \sigma_0)

    over the n validation examples, with the deviation σ between the members of an ensemble. They hold the truth of a
    new example with a probability of at least 1 - α if it is drawn like the validation examples, which a test part of
    other scaffolds is not. The validation data also chose the weights, which makes them a little too narrow.
    """

    targets: tuple[TargetIntervals, ...]

    @classmethod
    def fit(cls, predicted: Numbers, wanted: Numbers, deviations: Numbers) -> Self | None:
        """Fit on (examples, targets), NaN where a target is missing; None for too few examples of one."""
        found = []
        for column in range(wanted.shape[1]):
            known = ~np.isnan(wanted[:, column]) & ~np.isnan(predicted[:, column])
            if known.sum() < MIN_EXAMPLES:
                return None
            residuals = np.abs(predicted[known, column] - wanted[known, column])
            found.append(TargetIntervals.fit(residuals, deviations[known, column]))
        return cls(tuple(found))

    def half_widths(self, level: float, deviations: Numbers) -> Numbers:
        """Return half the widths, (examples, targets), for deviations of the same shape.

        Raises: OptionError for a level that so few validation examples cannot give.
        """
        columns = zip(self.targets, deviations.T, strict=True)
        return np.stack([target.half_width(level, each) for target, each in columns], axis=1)

    def can_give(self, level: float) -> bool:
        """Return whether there are enough validation examples for a level."""
        return all(math.ceil((each.count + 1) * level) <= each.count for each in self.targets)

    def save(self, folder: Path) -> None:
        """Write `INTERVALS` to a run folder."""
        targets = [
            {"count": each.count, "floor": each.floor, "residuals": each.residuals}
            for each in self.targets
        ]
        text = to_strict_json({"format": _FORMAT, "targets": targets})
        run_folder.write_text(folder / INTERVALS, text + "\n")

    @classmethod
    def load(cls, folder: Path, targets: int) -> Self | None:
        """Read what `save` wrote; None for a run that has no such file.

        Raises: RunError for a damaged file, or another number of targets.
        """
        path = folder / INTERVALS
        if not path.exists():
            return None
        content: Any = read_json(path)
        try:
            known = content["format"] == _FORMAT
            read = cls(
                tuple(
                    TargetIntervals(
                        int(each["count"]),
                        tuple(map(float, each["residuals"])),
                        float(each["floor"]),
                    )
                    for each in content["targets"]
                )
            )
            valid = known and len(read.targets) == targets and all(map(_is_sound, read.targets))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            valid = False
        if not valid:
            raise RunError(f"{path} is damaged; copy the run folder again or train anew")
        return read


def _is_sound(target: TargetIntervals) -> bool:
    values = np.array([target.floor, *target.residuals])
    is_ascending = bool((np.diff(values[1:]) >= 0).all())
    fits = 0 < len(target.residuals) <= target.count
    return fits and is_ascending and bool(np.isfinite(values).all()) and bool((values >= 0).all())


def save_intervals(folder: Path, intervals: Intervals | None) -> None:
    """Write the intervals to a run folder, or remove their file if there are none."""
    if intervals is None:
        (folder / INTERVALS).unlink(missing_ok=True)
    else:
        intervals.save(folder)
