"""Standardization of numbers by the mean and the standard deviation of the training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from heedful.atomic_files import write_text
from heedful.errors import DataError, RunError
from heedful.stored_files import read_json
from heedful.strict_json import to_strict_json

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Standardizer:
    """z = (x - mean) / scale, for each feature; NaN stands for a missing value and stays NaN.

    >>> standardizer = Standardizer.fit(np.array([[1.0, 5.0], [3.0, np.nan]]))
    >>> standardizer.apply(np.array([[3.0, 6.0]])).tolist(), standardizer.invert(np.array([1.0, 1.0])).tolist()
    ([[1.0, 1.0]], [3.0, 6.0])
    """

    mean: Values
    """(features,) of the training data, or () of single numbers."""
    scale: Values
    """As `mean`: the standard deviation; 1 where all values are equal."""

    @classmethod
    def fit(cls, values: Values) -> Self:
        """Take mean and deviation over the first axis of (examples, features) or (examples,).

        Raises: DataError for numbers whose deviation overflows.
        """
        with np.errstate(over="ignore"):
            mean, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        if np.isinf(mean).any() or np.isinf(scale).any():
            largest = np.nanmax(np.abs(values))
            raise DataError(
                f"the training numbers reach {largest:g}, too large for their standard deviation; divide them by a "
                "constant"
            )
        return cls(mean, np.where(scale > 0, scale, 1.0))

    def apply(self, values: Values) -> Values:
        """Standardize values of (..., features)."""
        return (values - self.mean) / self.scale

    def invert(self, values: Values) -> Values:
        """Return standardized values of (..., features) in the units of the training data."""
        return self.mean + self.scale * values

    def save(self, path: Path, **others: Any) -> None:
        """Write mean and scale as JSON, and other values beside them."""
        text = to_strict_json({"mean": self.mean.tolist(), "scale": self.scale.tolist(), **others})
        write_text(path, text + "\n")

    @classmethod
    def load(cls, path: Path) -> tuple[Self, Mapping[str, Any]]:
        """Read what `save` wrote: mean and scale, and all values of the file.

        Raises: RunError for a file that is missing or damaged.
        """
        values = read_json(path)
        try:
            standardizer = cls(np.array(values["mean"], float), np.array(values["scale"], float))
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{path} is damaged; copy the run folder again or train anew") from None
        standardizer.check(path)
        return standardizer, values

    def check(self, path: Path) -> None:
        """Check what was read of a file: numbers, or equally many of one or more features.

        Raises: RunError for a mean that is not finite, or a scale that is not above 0.
        """
        mean, scale = self.mean, self.scale
        if not (
            mean.shape == scale.shape
            and mean.ndim < 2
            and mean.size
            and np.isfinite(mean).all()
            and (np.isfinite(scale) & (scale > 0)).all()
        ):
            raise RunError(
                f"{path} is damaged: expected a finite mean and a scale above 0 of each feature; copy the run folder "
                "again or train anew"
            )
