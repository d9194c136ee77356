"""How time grows with length, and what more cores take away from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import torch

from heedful.bench.clock import FEWEST, Samples, interleave
from heedful.models.encoders import Encoder
from heedful.probe.encoders import Spec
from heedful.probe.results import Curve
from heedful.probe.workshop import Workshop

CALL_SECONDS = 5.0
"""What takes longer is not measured at greater lengths."""


def time(specs: Sequence[Spec], shop: Workshop) -> Iterator[Curve]:
    """Yield seconds by length, forward and with backward; all encoders take turns at each length."""
    settings = shop.settings
    encoders = {spec.name: shop.encoder(spec, settings.seed) for spec in specs}
    found: dict[str, list[tuple[float, float]]] = {}
    slow: set[str] = set()
    with threads(settings.threads):
        for length in sorted(settings.timed_lengths):
            calls: dict[str, Callable[[], object]] = {}
            for name, encoder in encoders.items():
                for mode, call in _calls(encoder, settings.batch, length).items():
                    if name not in slow:
                        calls[f"{mode} {name}"] = call
            samples = _measure(calls, settings.seconds)
            for key in calls:
                # the fastest round: what else a machine does only ever adds
                fastest = min(samples.seconds[key])
                found.setdefault(key, []).append((float(length), fastest))
                if fastest > CALL_SECONDS:
                    slow.add(key.partition(" ")[2])
    for key, points in found.items():
        mode, _, name = key.partition(" ")
        yield Curve("time", name, mode, settings.seed, tuple(points))


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


def _measure(calls: dict[str, Callable[[], object]], seconds: float) -> Samples:
    for call in calls.values():
        call()
    return interleave(calls, seconds)
