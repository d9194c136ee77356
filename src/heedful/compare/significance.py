"""Significance test: the paired bootstrap over validation examples and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from heedful.answers.base import Answer, Numbers

NUM_RESAMPLES: Final = 2000
LEVEL: Final = 0.95
_MAX_CELLS: Final = 4_000_000
"""Largest resamples × examples held in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of the metric, `contender` minus `against`, with confidence interval and p-value."""

    contender: str
    against: str
    difference: float
    low: float
    """Lower and upper end of the 95 % confidence interval."""
    high: float
    p: float | None
    """Two-sided p-value of the null hypothesis of no difference; None with one training of a contender, whose
    difference from other seeds is unknown."""


@dataclass(frozen=True)
class Bootstrap:
    """The metric of each contender on the data and on each resample."""

    metrics: Mapping[str, float]
    resamples: Mapping[str, Numbers]
    """Contender -> (resamples,)."""
    trainings: Mapping[str, int]
    """Contender -> its number of trainings."""

    def interval(self, contender: str) -> tuple[float, float]:
        """Return the 95 % confidence interval of a contender's metric."""
        return _interval(self.resamples[contender])

    def difference(self, contender: str, against: str) -> Difference:
        """Return the paired difference of two contenders over the same resamples."""
        differences = self.resamples[contender] - self.resamples[against]
        low, high = _interval(differences)
        count = len(differences) + 1
        is_known = min(self.trainings[contender], self.trainings[against]) > 1
        tails = (int((differences <= 0).sum()) + 1, int((differences >= 0).sum()) + 1)
        return Difference(
            contender=contender,
            against=against,
            difference=self.metrics[contender] - self.metrics[against],
            low=low,
            high=high,
            p=min(1.0, 2 * min(tails) / count) if is_known else None,
        )


def bootstrap(
    statistics: Mapping[str, Numbers],
    answer: type[Answer[Any]],
    *,
    resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Bootstrap:
    r"""Paired bootstrap over validation examples and seeds (Efron and Tibshirani 1993, chapter 16).

    Each resample draws all examples with replacement, the same for every contender, so that the difficulty of
    the examples cancels in differences (Koehn 2004, https://aclanthology.org/W04-3250). It also draws the trainings
    of each contender with replacement, to include the variance between seeds. A contender's metric is the mean
    over its trainings.

    Args:
        statistics: contender -> (trainings, examples, statistics); all contenders have the same examples, in order.
        answer: turns sums of statistics into the metric.
        resamples: number of bootstrap samples.
        seed: of the random generator.

    With two or three trainings the variance between seeds is underestimated, and the intervals are too narrow.
    """
    rng = np.random.default_rng(seed)
    examples = next(iter(statistics.values())).shape[1]
    values: dict[str, list[Numbers]] = {name: [] for name in statistics}
    left = resamples
    while left:
        count = max(1, min(left, _MAX_CELLS // max(1, examples)))
        left -= count
        counts = rng.multinomial(examples, np.full(examples, 1 / examples), size=count)
        weights = counts.astype(np.float64)
        for name, each in statistics.items():
            sums = np.einsum("de,tek->dtk", weights, each, optimize=True)
            trainings = rng.integers(each.shape[0], size=(count, each.shape[0]))
            by_training = answer.value(sums)
            values[name].append(np.take_along_axis(by_training, trainings, axis=1).mean(axis=1))
    return Bootstrap(
        {name: float(answer.value(each.sum(axis=1)).mean()) for name, each in statistics.items()},
        {name: np.concatenate(parts) for name, parts in values.items()},
        {name: each.shape[0] for name, each in statistics.items()},
    )


def _interval(values: Numbers) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
