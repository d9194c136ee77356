"""The corpus `waves`: sums of sine waves, with a pulse and an event that follows it after a delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from heedful.data.builtin.corpus import BuiltinCorpus
from heedful.data.series.series import Series, SeriesSet

PERIODS: Final = {"slow": 16.0, "fast": 6.0}
"""Class -> period in steps of its wave; both classes also contain a wave with a period of 10 steps."""
DELAYS: Final = range(8, 17)
"""Steps from the pulse to the event."""
MISSING: Final = 0.02
"""Probability that a value is missing."""

DESCRIPTION: Final = (
    "Series of 40 to 64 steps with two features. The first is the sum of two waves and noise, with a slow or fast "
    "period. The second is noise with a pulse, up or down, and an event 8 to 16 steps later. The label is slow or fast "
    "with up or down, the number is the delay, and each step is labelled quiet, waiting (after the pulse) or event. A "
    "few values are missing."
)


@dataclass(frozen=True)
class SeriesCorpus(BuiltinCorpus[SeriesSet]):
    """Generated series with every kind of answer."""

    def with_answers(
        self, series: SeriesSet, kind: Literal["label", "number", "steps"]
    ) -> SeriesSet:
        """Return the series with only the answers of one kind."""
        select = _ANSWERS[kind]
        return replace(series, series=[replace(s, answer=select(s.answer)) for s in series.series])


_ANSWERS: Final[dict[str, Callable[[tuple[str, ...]], tuple[str, ...]]]] = {
    "label": lambda answer: answer[:1],
    "number": lambda answer: answer[1:2],
    "steps": lambda answer: answer[2:],
}


def build(
    seed: int = 0, *, train_size: int = 600, valid_size: int = 150, test_size: int = 300
) -> SeriesCorpus:
    """Generate the corpus, deterministically.

    >>> corpus = build(train_size=3, valid_size=1, test_size=1)
    >>> first = corpus.with_answers(corpus.train, "steps").series[0]
    >>> first.values.shape[1], len(first.answer) == len(first.values)
    (2, True)
    """
    rng = np.random.default_rng(seed)
    train, valid, test = (
        SeriesSet([_series(rng, f"{name}-{n}") for n in range(size)], f"builtin:waves, {name}")
        for name, size in (("train", train_size), ("valid", valid_size), ("test", test_size))
    )
    return SeriesCorpus(train, valid, test, DESCRIPTION)


def _series(rng: np.random.Generator, name: str) -> Series:
    length = int(rng.integers(40, 65))
    period, direction = rng.choice(list(PERIODS)), rng.choice(["up", "down"])
    time, phases = np.arange(length), rng.uniform(0, 2 * np.pi, 2)
    wave = np.sin(2 * np.pi * time / PERIODS[period] + phases[0])
    wave += 0.5 * np.sin(2 * np.pi * time / 10.0 + phases[1])
    delay = int(rng.choice(DELAYS))
    pulse = int(rng.integers(2, length - DELAYS.stop - 6))
    events = np.zeros(length)
    events[pulse : pulse + 2] = 2.0 if direction == "up" else -2.0
    events[pulse + delay : pulse + delay + 4] = 1.5
    values = np.stack([wave, events], axis=1) + rng.normal(0, 0.2, (length, 2))
    values[rng.random((length, 2)) < MISSING] = np.nan
    steps = ["quiet"] * length
    steps[pulse : pulse + delay] = ["waiting"] * delay
    steps[pulse + delay : pulse + delay + 4] = ["event"] * 4
    return Series(values, (f"{period} {direction}", str(delay), *steps), name)
