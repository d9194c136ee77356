"""Measure the memory of this process and the latency of predictions."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from heedful.data.dataset import Dataset
from heedful.errors import HeedfulError
from heedful.tasks.predictor import Predictor

STATUS: Final = Path("/proc/self/status")
MIN_CALLS: Final = 3
MAX_CALLS: Final = 20
MIN_TOTAL_SECONDS: Final = 0.3
MAX_CALL_SECONDS: Final = 5.0
"""Inputs longer than one that took more time than this are not measured."""


def resident_memory() -> tuple[int, int] | None:
    """Return the resident set of this process in bytes, (current, peak); None where /proc is not available.

    Not `getrusage`, whose maximum includes the parent process.
    """
    try:
        text = STATUS.read_text(encoding="ascii")
    except OSError:
        return None
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"Vm(RSS|HWM):\s+(\d+) kB", text)}
    return (sizes["RSS"], sizes["HWM"]) if len(sizes) == 2 else None


def prediction_latency(
    predictor: Predictor, data: Dataset, lengths: Sequence[int]
) -> dict[int, float]:
    """Return length -> median seconds to predict one input of that length in a batch of one, after a warm-up call.

    Omits lengths that the model rejects, and all longer ones. Of inputs that all have one length, such as images, that
    is the only one.
    """
    if not data.has_any_length:
        [encoded] = predictor.input.encode(data.inputs[:1])
        return {predictor.input.length(encoded): _median_seconds(predictor, data.inputs[0])}
    seconds: dict[int, float] = {}
    for length in sorted(lengths):
        example = data.input_of_length(length)
        try:
            seconds[length] = _median_seconds(predictor, example)
        except (HeedfulError, IndexError):
            break
        if seconds[length] > MAX_CALL_SECONDS:
            break
    return seconds


def _median_seconds(predictor: Predictor, example: Any) -> float:
    def call() -> float:
        start = time.perf_counter()
        list(predictor.predict([example], **predictor.answer.validation_search))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    first = call()
    if first > MAX_CALL_SECONDS:
        return first
    times: list[float] = []
    while len(times) < MIN_CALLS or (sum(times) < MIN_TOTAL_SECONDS and len(times) < MAX_CALLS):
        times.append(call())
    return statistics.median(times)
