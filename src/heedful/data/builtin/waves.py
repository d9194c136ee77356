"""The corpus `waves`: series of several frequencies with a pulse, and an event that follows it after a delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from heedful.data.builtin.corpus import BuiltinCorpus
from heedful.data.series.series import Series, SeriesSet

PERIODS: Final = {"slow": 16.0, "fast": 6.0}
"""Name -> steps of the wave that tells the classes apart; both classes also hold a wave of 10 steps."""
DELAYS: Final = range(8, 17)
"""Steps from the pulse to the event."""
MISSING: Final = 0.02
"""Share of the values that are missing."""

DESCRIPTION: Final = (
    "Series of 40 to 64 steps with two features. The first is the sum of two waves and noise: its period is slow or "
    "fast. The second is noise with a pulse, up or down, and after a delay of 8 to 16 steps an event. A series has the "
    "label slow or fast with up or down, the delay as its number, and for each step whether it is quiet, waiting after "
    "the pulse, or in the event. A few values are missing."
)


@dataclass(frozen=True)
class SeriesCorpus(BuiltinCorpus[SeriesSet]):
    """Series made by rule, with every kind of answer."""

    def answered(self, series: SeriesSet, kind: Literal["label", "number", "steps"]) -> SeriesSet:
        """Return series with the answers of one kind."""
        chosen = _ANSWERS[kind]
        return replace(series, series=[replace(s, answer=chosen(s.answer)) for s in series.series])


_ANSWERS: Final[dict[str, Callable[[tuple[str, ...]], tuple[str, ...]]]] = {
    "label": lambda answer: answer[:1],
    "number": lambda answer: answer[1:2],
    "steps": lambda answer: answer[2:],
}


def build(
    seed: int = 0, *, train_size: int = 600, valid_size: int = 150, test_size: int = 300
) -> SeriesCorpus:
    """Make the corpus; the same arguments always give the same series.

    >>> corpus = build(train_size=3, valid_size=1, test_size=1)
    >>> first = corpus.answered(corpus.train, "steps").series[0]
    >>> first.values.shape[1], len(first.answer) == len(first.values)
    (2, True)
    """
    chance = np.random.default_rng(seed)
    train, valid, test = (
        SeriesSet([_series(chance, f"{name}-{n}") for n in range(size)], f"builtin:waves, {name}")
        for name, size in (("train", train_size), ("valid", valid_size), ("test", test_size))
    )
    return SeriesCorpus(train, valid, test, DESCRIPTION)


def _series(chance: np.random.Generator, name: str) -> Series:
    length = int(chance.integers(40, 65))
    period, direction = chance.choice(list(PERIODS)), chance.choice(["up", "down"])
    time, phases = np.arange(length), chance.uniform(0, 2 * np.pi, 2)
    wave = np.sin(2 * np.pi * time / PERIODS[period] + phases[0])
    wave += 0.5 * np.sin(2 * np.pi * time / 10.0 + phases[1])
    delay = int(chance.choice(DELAYS))
    pulse = int(chance.integers(2, length - DELAYS.stop - 6))
    events = np.zeros(length)
    events[pulse : pulse + 2] = 2.0 if direction == "up" else -2.0
    events[pulse + delay : pulse + delay + 4] = 1.5
    values = np.stack([wave, events], axis=1) + chance.normal(0, 0.2, (length, 2))
    values[chance.random((length, 2)) < MISSING] = np.nan
    steps = ["quiet"] * length
    steps[pulse : pulse + delay] = ["waiting"] * delay
    steps[pulse + delay : pulse + delay + 4] = ["event"] * 4
    return Series(values, (f"{period} {direction}", str(delay), *steps), name)
