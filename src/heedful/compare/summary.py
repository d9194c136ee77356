"""Summarize the outcomes of all trainings by contender."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from heedful.answers.base import Answer
from heedful.compare.outcome import Outcome
from heedful.compare.plan import Plan
from heedful.compare.significance import Bootstrap, Difference, bootstrap


@dataclass(frozen=True, kw_only=True)
class SeedValues:
    """One value per seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class ContenderSummary:
    """The results of one contender, over its trainings on all the data."""

    contender: str
    quality: SeedValues
    interval: tuple[float, float]
    """95 % confidence interval of the quality, by bootstrap over examples and seeds."""
    parameters: int
    tokens_per_second: SeedValues
    training_seconds: SeedValues
    seconds_to_target: SeedValues | None
    """Time of training steps, of the trainings that reached the target; None if none did."""
    memory: SeedValues | None
    """Peak memory of training beyond libraries and data, in bytes."""
    latency: dict[int, float]
    """Input length -> seconds to predict one input, median over seeds."""
    against_best: Difference | None
    """Difference from the best contender; None for itself."""
    against_first: Difference | None
    """Difference from the first contender; None for itself."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The results of a comparison."""

    rows: tuple[ContenderSummary, ...]
    """In the order of the plan, without contenders that have no successful training on all the data."""
    best: str | None
    target: float | None
    """The quality at which the time to target is measured."""
    learning: dict[str, dict[int, SeedValues]]
    """Learning curves: contender -> number of training examples -> quality."""
    failures: tuple[Outcome, ...]

    def to_dict(self) -> dict[str, Any]:
        """Serialize to values for JSON."""
        return {
            "best": self.best,
            "target": self.target,
            "rows": [asdict(row) for row in self.rows],
            "learning": {
                name: {str(count): asdict(spread) for count, spread in by_count.items()}
                for name, by_count in self.learning.items()
            },
            "failures": [
                {"contender": e.contender, "seed": e.seed, "fraction": e.fraction, "error": e.error}
                for e in self.failures
            ],
        }


def summarize(plan: Plan, outcomes: Sequence[Outcome]) -> Summary:
    """Summarize the outcomes; failed trainings are excluded from all metrics and listed."""
    answer = plan.answer
    succeeded = [each for each in outcomes if each.error is None]
    full_data = {
        name: group
        for name in plan.contenders
        if (group := [e for e in succeeded if e.contender == name and e.fraction == 1])
    }
    target = plan.target or common_quality(answer, full_data.values())
    rows: tuple[ContenderSummary, ...] = ()
    best = None
    if full_data:
        resampled = bootstrap(
            {
                name: np.array([each.statistics for each in group])
                for name, group in full_data.items()
            },
            answer,
        )
        best = best_contender(answer, resampled)
        rows = tuple(_row(name, full_data, resampled, best, answer, target) for name in full_data)
    return Summary(
        rows=rows,
        best=best,
        target=target,
        learning={name: _learning(succeeded, name) for name in full_data},
        failures=tuple(each for each in outcomes if each.error is not None),
    )


def best_contender(answer: type[Answer[Any]], resampled: Bootstrap) -> str:
    """Return the name of the contender with the best mean metric."""
    sign = answer.sign()
    return max(resampled.metrics, key=lambda name: sign * resampled.metrics[name])


def common_quality(answer: type[Answer[Any]], groups: Iterable[Sequence[Outcome]]) -> float | None:
    """Return the best quality that every training of every contender reached."""
    pick, worst = (min, max) if answer.sign() < 0 else (max, min)
    curves = ([p.quality for p in each.curve] for group in groups for each in group)
    known = (list(filter(math.isfinite, curve)) for curve in curves)
    reached = [pick(curve) for curve in known if curve]
    return worst(reached) if reached else None


def seconds_to(answer: type[Answer[Any]], outcome: Outcome, target: float) -> float | None:
    """Return the time of training steps until the first validation that reached `target`; None if none did."""
    sign = answer.sign()
    times = (p.seconds for p in outcome.curve if sign * p.quality >= sign * target)
    return next(times, None)


def _row(
    name: str,
    full_data: dict[str, list[Outcome]],
    resampled: Bootstrap,
    best: str,
    answer: type[Answer[Any]],
    target: float | None,
) -> ContenderSummary:
    group, first = full_data[name], next(iter(full_data))
    times = [] if target is None else [seconds_to(answer, each, target) for each in group]
    memory = [float(each.memory.added) for each in group if each.memory is not None]
    lengths = sorted(set.intersection(*(set(each.latency) for each in group)))
    return ContenderSummary(
        contender=name,
        quality=SeedValues(values=tuple(each.quality for each in group)),
        interval=resampled.interval(name),
        parameters=group[0].parameters,
        tokens_per_second=SeedValues(values=tuple(each.tokens_per_second for each in group)),
        training_seconds=SeedValues(values=tuple(each.training_seconds for each in group)),
        seconds_to_target=_spread([time for time in times if time is not None]),
        memory=_spread(memory),
        latency={n: statistics.median(each.latency[n] for each in group) for n in lengths},
        against_best=None if name == best else resampled.difference(name, best),
        against_first=None if name == first else resampled.difference(name, first),
    )


def _spread(values: Sequence[float]) -> SeedValues | None:
    return SeedValues(values=tuple(values)) if values else None


def _learning(succeeded: Sequence[Outcome], name: str) -> dict[int, SeedValues]:
    own = [each for each in succeeded if each.contender == name]
    return {
        count: SeedValues(values=tuple(e.quality for e in own if e.train_examples == count))
        for count in sorted({each.train_examples for each in own})
    }
