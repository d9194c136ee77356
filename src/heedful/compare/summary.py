"""From the outcomes of all trainings to what is said of each contender."""

from __future__ import annotations

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
class Spread:
    """Some numbers, one a seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Their standard deviation (of a sample); None of fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the trainings of one contender on all the data came to."""

    contender: str
    quality: Spread
    interval: tuple[float, float]
    """95 %, of examples and seeds drawn again."""
    parameters: int
    tokens_per_second: Spread
    training_seconds: Spread
    seconds_to_target: Spread | None
    """Of training steps, by the trainings that reached it; None where none did."""
    memory: Spread | None
    """Bytes that the training took beyond libraries and data."""
    latency: dict[int, float]
    """Length -> seconds for one input, the median over seeds."""
    against_best: Difference | None
    """None for the best itself."""
    against_first: Difference | None
    """None for the first itself."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A whole comparison."""

    rows: tuple[Row, ...]
    """In the order of the plan; contenders without one whole training are left out."""
    best: str | None
    target: float | None
    """The quality to which times are given."""
    learning: dict[str, dict[int, Spread]]
    """Contender -> training examples -> quality."""
    failures: tuple[Outcome, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
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
    """Put the outcomes together; failed trainings are left out of all figures and listed."""
    answer = plan.answer
    good = [each for each in outcomes if each.error is None]
    whole = {
        name: found
        for name in plan.contenders
        if (found := [e for e in good if e.contender == name and e.fraction == 1])
    }
    target = plan.target or common_quality(answer, whole.values())
    rows: tuple[Row, ...] = ()
    best = None
    if whole:
        draws = bootstrap(
            {name: np.array([each.statistics for each in found]) for name, found in whole.items()},
            answer,
        )
        best = best_of(answer, draws)
        rows = tuple(_row(name, whole, draws, best, answer, target) for name in whole)
    return Summary(
        rows=rows,
        best=best,
        target=target,
        learning={name: _learning(good, name) for name in whole},
        failures=tuple(each for each in outcomes if each.error is not None),
    )


def best_of(answer: type[Answer[Any]], draws: Bootstrap) -> str:
    """Name the contender whose mean is best."""
    sign = answer.sign()
    return max(draws.figures, key=lambda name: sign * draws.figures[name])


def common_quality(answer: type[Answer[Any]], found: Iterable[Sequence[Outcome]]) -> float | None:
    """Return the best quality that every contender reached on the way in all its trainings."""
    pick, worst = (min, max) if answer.sign() < 0 else (max, min)
    reached = [pick(point.quality for point in each.curve) for group in found for each in group]
    return worst(reached) if reached else None


def seconds_to(answer: type[Answer[Any]], outcome: Outcome, target: float) -> float | None:
    """Return the time of training steps until the first validation that was as good as `target`."""
    sign = answer.sign()
    times = (p.seconds for p in outcome.curve if sign * p.quality >= sign * target)
    return next(times, None)


def _row(
    name: str,
    whole: dict[str, list[Outcome]],
    draws: Bootstrap,
    best: str,
    answer: type[Answer[Any]],
    target: float | None,
) -> Row:
    found, first = whole[name], next(iter(whole))
    times = [] if target is None else [seconds_to(answer, each, target) for each in found]
    memory = [float(each.memory.added) for each in found if each.memory is not None]
    lengths = sorted(set.intersection(*(set(each.latency) for each in found)))
    return Row(
        contender=name,
        quality=Spread(values=tuple(each.quality for each in found)),
        interval=draws.interval(name),
        parameters=found[0].parameters,
        tokens_per_second=Spread(values=tuple(each.tokens_per_second for each in found)),
        training_seconds=Spread(values=tuple(each.training_seconds for each in found)),
        seconds_to_target=_spread([time for time in times if time is not None]),
        memory=_spread(memory),
        latency={n: statistics.median(each.latency[n] for each in found) for n in lengths},
        against_best=None if name == best else draws.difference(name, best),
        against_first=None if name == first else draws.difference(name, first),
    )


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(values=tuple(values)) if values else None


def _learning(good: Sequence[Outcome], name: str) -> dict[int, Spread]:
    mine = [each for each in good if each.contender == name]
    return {
        count: Spread(values=tuple(e.quality for e in mine if e.train_examples == count))
        for count in sorted({each.train_examples for each in mine})
    }
