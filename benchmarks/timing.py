"""Medians of calls taken in turn, in one process.

With one thread the time is the processor's (`time.thread_time`), which other programs lengthen only by what they take
of caches and memory; with several it is the clock's.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from time import perf_counter, thread_time

import torch
from torch import Tensor


def medians(runs: Mapping[str, Callable[[], object]], seconds: float = 1.0) -> dict[str, float]:
    """Microseconds of each, taken in turn and in alternating order, for about so many seconds together."""
    now = thread_time if torch.get_num_threads() == 1 else perf_counter
    for run in runs.values():
        run()
    start = now()
    for run in runs.values():
        run()
    repeats = max(7, min(2000, int(seconds / max(1e-6, now() - start))))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats):
        for name in list(runs)[:: 1 if repeat % 2 else -1]:
            start = now()
            runs[name]()
            taken[name].append(now() - start)
    return {name: statistics.median(times) * 1e6 for name, times in taken.items()}


def forward_and_backward(function: Callable[[], Tensor], inputs: tuple[Tensor, ...]) -> None:
    """Call a function and, where its output has a gradient, take the gradients of the inputs."""
    output = function()
    if output.requires_grad:
        torch.autograd.grad(output, inputs, torch.ones_like(output))
