"""Times of several computations that differ as little as possible in when they were taken."""

from __future__ import annotations

import contextlib
import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from heedful.bench.results import Ratio, Timing

SAMPLE_SECONDS = 5e-4
"""A shorter computation is repeated within a sample, so that the clock's own cost does not count."""
WARM_SECONDS = 0.1
"""A shorter computation is first called once untimed: what ran before it in the round has emptied the caches."""
FEWEST, MOST = 5, 400
"""Rounds: on a busy machine a sample strays by some percent, and the median of a hundred by half of one."""
PATIENCE = 5
"""How many times the asked seconds the rounds may take before three are enough."""


@dataclass(frozen=True)
class Samples:
    """Seconds a call of each computation, one sample a round."""

    seconds: Mapping[str, list[float]]

    def timing(self, name: str) -> Timing | None:
        """Summarize one computation; None for one that was not timed."""
        return Timing.of(self.seconds[name]) if name in self.seconds else None

    def ratio(self, name: str, base: str) -> Ratio | None:
        """How many times as long `name` took as `base`, round by round; None unless both were timed."""
        if not {name, base} <= set(self.seconds):
            return None
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        summary = Timing.of([one / other for one, other in pairs])
        return Ratio(summary.median, summary.low, summary.high)


def interleave(
    calls: Mapping[str, Callable[[], object]],
    seconds: float,
    advance: Callable[[float], None] = lambda share: None,
    now: Callable[[], float] = time.perf_counter,
) -> Samples:
    """Take a sample of each a round, in a new order each round, for about `seconds` in all and five rounds at least.

    Who calls a function many times finds its data and its code in the caches, and so does every call timed here that
    takes less than `WARM_SECONDS`: one like it, untimed, runs before it.

    Three rounds are enough where these take five times as long as asked. Every call must have been made
    before, so that nothing is compiled within a sample. `advance` is told after each round which share of
    the work is done, and `now` tells the time of a sample: of the clock, or of this thread (`time.thread_time`).

    >>> samples = interleave({"a": lambda: sum(range(9)), "b": lambda: None}, 0.01)
    >>> len(samples.seconds["a"]) == len(samples.seconds["b"]) > 2
    True
    """
    plans = {name: _Plan.of(call, now) for name, call in calls.items()}
    found: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    began, rounds, spent = time.perf_counter(), 0, 0.0
    with _uncollected():
        while calls and rounds < MOST:
            enough = 3 if spent > PATIENCE * seconds else FEWEST
            if rounds >= enough and spent >= seconds:
                break
            shuffle(order)
            for name in order:
                found[name].append(plans[name].sample(calls[name]))
            rounds, spent = rounds + 1, time.perf_counter() - began
            advance(min(1.0, max(rounds / MOST, min(spent / seconds, rounds / FEWEST))))
    return Samples(found)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Nothing is collected meanwhile, lest what one leaves behind be collected at the expense of another."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(frozen=True)
class _Plan:
    """How one sample of a computation is taken."""

    repeats: int
    warm: bool
    now: Callable[[], float]

    @classmethod
    def of(cls, call: Callable[[], object], now: Callable[[], float]) -> _Plan:
        once = _timed(call, 1, now)
        if once < SAMPLE_SECONDS:
            once = _timed(call, 1, now)
        repeats = max(1, min(1000, round(SAMPLE_SECONDS / max(once, 1e-9))))
        return cls(repeats, once < WARM_SECONDS, now)

    def sample(self, call: Callable[[], object]) -> float:
        if self.warm:
            call()
        return _timed(call, self.repeats, self.now)


def _timed(call: Callable[[], object], repeats: int, now: Callable[[], float]) -> float:
    began = now()
    for _ in range(repeats):
        call()
    return (now() - began) / repeats
