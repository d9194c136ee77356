"""Is a difference more than chance: the paired bootstrap over validation examples and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from heedful.answers.base import Answer, Numbers

DRAWS: Final = 2000
LEVEL: Final = 0.95
_CELLS: Final = 4_000_000
"""Draws times examples that are held at once."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The figure of `contender` less that of `against`."""

    contender: str
    against: str
    difference: float
    low: float
    """Ends of the 95 % confidence interval."""
    high: float
    p: float
    """Of a difference at least as great in either direction, were there none."""


@dataclass(frozen=True)
class Bootstrap:
    """The figure of each contender in the data as they are, and in each draw."""

    figures: Mapping[str, float]
    draws: Mapping[str, Numbers]

    def interval(self, contender: str) -> tuple[float, float]:
        """Return the 95 % confidence interval of a contender's own figure."""
        return _interval(self.draws[contender])

    def difference(self, contender: str, against: str) -> Difference:
        """Compare two contenders in the same draws."""
        drawn = self.draws[contender] - self.draws[against]
        low, high = _interval(drawn)
        count = len(drawn) + 1
        tails = (int((drawn <= 0).sum()) + 1, int((drawn >= 0).sum()) + 1)
        return Difference(
            contender=contender,
            against=against,
            difference=self.figures[contender] - self.figures[against],
            low=low,
            high=high,
            p=min(1.0, 2 * min(tails) / count),
        )


def bootstrap(
    statistics: Mapping[str, Numbers],
    answer: type[Answer[Any]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Bootstrap:
    r"""Draw the validation examples again and again, and the seeds with them (Efron and Tibshirani 1993, chapter 16).

    Each draw takes as many examples as there are, with replacement, and the same ones for every contender:
    that one example is harder than another then cancels (Koehn 2004, https://aclanthology.org/W04-3250).
    Of each contender it takes as many of its trainings as there are, likewise, so that a difference which rests
    on one lucky seed does not pass for one of the contender. A contender's figure is the mean over its trainings.

    Args:
        statistics: contender -> (trainings, examples, statistics); the examples are the same ones in one order.
        answer: turns sums of statistics into the metric.
        draws: how often to draw.
        seed: of the draws.

    With two or three trainings the spread between seeds is known badly, and the intervals are rather too narrow.
    """
    chance = np.random.default_rng(seed)
    examples = next(iter(statistics.values())).shape[1]
    found: dict[str, list[Numbers]] = {name: [] for name in statistics}
    left = draws
    while left:
        count = max(1, min(left, _CELLS // max(1, examples)))
        left -= count
        drawn = chance.multinomial(examples, np.full(examples, 1 / examples), size=count)
        weights = drawn.astype(np.float64)
        for name, each in statistics.items():
            sums = np.einsum("de,tek->dtk", weights, each, optimize=True)
            trainings = chance.integers(each.shape[0], size=(count, each.shape[0]))
            values = answer.value(sums)
            found[name].append(np.take_along_axis(values, trainings, axis=1).mean(axis=1))
    return Bootstrap(
        {name: float(answer.value(each.sum(axis=1)).mean()) for name, each in statistics.items()},
        {name: np.concatenate(parts) for name, parts in found.items()},
    )


def _interval(drawn: Numbers) -> tuple[float, float]:
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [outside, 1 - outside])
    return float(low), float(high)
