"""How time grows with length, and what more cores take away from it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter, process_time

import torch

from heedful.models.encoders import Encoder
from heedful.probe.encoders import Spec
from heedful.probe.results import Curve
from heedful.probe.workshop import Workshop

FEWEST = 5
"""Rounds."""
CALL_SECONDS = 5.0
"""What takes longer is not measured at greater lengths."""


def time(specs: Sequence[Spec], shop: Workshop) -> Iterator[Curve]:
    """Yield seconds by length, forward and with backward; all encoders take turns at each length.

    With one thread they are seconds of the processor, which other work on the machine does not stretch; with
    more, seconds of the clock on the wall.
    """
    settings = shop.settings
    encoders = {spec.name: shop.encoder(spec, settings.seed) for spec in specs}
    clock = process_time if settings.threads == 1 else perf_counter
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    slow: set[str] = set()
    with threads(settings.threads):
        for length in sorted(settings.timed_lengths):
            calls = {
                (name, mode): call
                for name, encoder in encoders.items()
                if name not in slow
                for mode, call in _calls(encoder, settings.batch, length).items()
            }
            for key, seconds in _fastest(calls, settings.seconds, clock).items():
                found.setdefault(key, []).append((float(length), seconds))
                if seconds > CALL_SECONDS:
                    slow.add(key[0])
    for (name, mode), points in found.items():
        yield Curve("time", name, mode, settings.seed, tuple(points))


def _fastest(
    calls: Mapping[tuple[str, str], Callable[[], object]],
    seconds: float,
    clock: Callable[[], float],
) -> dict[tuple[str, str], float]:
    """Take the fastest of several rounds of each call: whatever else a machine does only adds."""
    found = dict.fromkeys(calls, math.inf)
    for call in calls.values():
        call()
    began, rounds = perf_counter(), 0
    while calls and (rounds < FEWEST or perf_counter() - began < seconds):
        rounds += 1
        for key, call in calls.items():
            start = clock()
            call()
            found[key] = min(found[key], clock() - start)
    return found


def cores(specs: Sequence[Spec], shop: Workshop) -> Iterator[Curve]:
    """Yield how many times as fast a forward and backward pass is with more threads."""
    settings = shop.settings
    counts = thread_counts(os.cpu_count() or 1)
    for spec in specs:
        call = _calls(shop.encoder(spec, settings.seed), settings.batch, settings.length)[BOTH]
        with threads(1):
            rounds = _rounds(call, counts, settings.seconds)
        fastest = {count: min(each[count] for each in rounds) for count in counts}
        points = [(float(count), fastest[1] / fastest[count]) for count in counts]
        yield Curve("cores", spec.name, "", settings.seed, tuple(points))


def _rounds(
    call: Callable[[], object], counts: Sequence[int], seconds: float
) -> list[dict[int, float]]:
    """Take the seconds of a call with each number of threads, in turn, until the time is over."""
    rounds: list[dict[int, float]] = []
    began = perf_counter()
    while len(rounds) < FEWEST or perf_counter() - began < seconds:
        taken = {}
        for count in counts:
            torch.set_num_threads(count)
            call()  # starts the threads, which is not what is measured
            start = perf_counter()
            call()
            taken[count] = perf_counter() - start
        rounds.append(taken)
    return rounds


def thread_counts(most: int) -> list[int]:
    """Return the powers of two up to the number of cores, and that number.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    return sorted({*(2**n for n in range(most.bit_length()) if 2**n <= most), most})


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


FORWARD, BOTH = "forward", "forward+backward"


def _calls(encoder: Encoder, batch: int, length: int) -> dict[str, Callable[[], object]]:
    chance = torch.Generator().manual_seed(0)
    inputs = torch.randn(batch, length, encoder.input_width, generator=chance).requires_grad_()
    lengths = torch.full((batch,), length)
    wanted = [inputs, *encoder.parameters()]

    def forward() -> object:
        with torch.no_grad():
            return encoder(inputs, lengths)

    def both() -> object:
        return torch.autograd.grad(encoder(inputs, lengths).values.sum(), wanted)

    return {FORWARD: forward, BOTH: both}
