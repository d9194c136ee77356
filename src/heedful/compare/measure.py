"""Memory of this process, and the time of one answer."""

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
LEAST_CALLS: Final = 3
MOST_CALLS: Final = 20
ENOUGH_SECONDS: Final = 0.3
TOO_LONG_SECONDS: Final = 5.0
"""After an answer that took so long, longer inputs are not tried."""


def resident() -> tuple[int, int] | None:
    """Return the bytes that the process holds now, and the most since it began; None where Linux does not say.

    Not `getrusage`: what it calls the maximum counts the process that started this one.
    """
    try:
        text = STATUS.read_text(encoding="ascii")
    except OSError:
        return None
    found = {name: int(size) * 1024 for name, size in re.findall(r"Vm(RSS|HWM):\s+(\d+) kB", text)}
    return (found["RSS"], found["HWM"]) if len(found) == 2 else None


def answer_seconds(predictor: Predictor, data: Dataset, lengths: Sequence[int]) -> dict[int, float]:
    """Return the median time to answer one input of each length, alone in its batch, after a first call.

    A length that the model refuses is left out, and all that are longer.
    """
    found: dict[int, float] = {}
    for length in sorted(lengths):
        made = data.input_of_length(length)
        try:
            found[length] = _median(predictor, made)
        except (HeedfulError, IndexError):
            break
        if found[length] > TOO_LONG_SECONDS:
            break
    return found


def _median(predictor: Predictor, made: Any) -> float:
    def call() -> float:
        began = time.perf_counter()
        list(predictor.predict([made], **predictor.answer.validation_search))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - began

    first = call()
    if first > TOO_LONG_SECONDS:
        return first
    times: list[float] = []
    while len(times) < LEAST_CALLS or (sum(times) < ENOUGH_SECONDS and len(times) < MOST_CALLS):
        times.append(call())
    return statistics.median(times)
