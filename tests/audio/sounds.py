"""Small recordings made by the tests: tones and chirps."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 8000


def tone(frequency: float, seconds: float = 0.3, rate: int = RATE) -> NDArray[np.float32]:
    """Return a sine wave with a little noise."""
    times = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(int(frequency)).normal(0, 0.005, len(times))
    return (0.3 * np.sin(2 * np.pi * frequency * times) + noise).astype(np.float32)


def chirp(start: float, end: float, seconds: float = 0.3, rate: int = RATE) -> NDArray[np.float32]:
    """Return a sine wave whose frequency moves from start to end."""
    times = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (start * times + (end - start) * times**2 / (2 * seconds))
    return (0.3 * np.sin(phase)).astype(np.float32)


def write(
    path: Path, samples: NDArray[np.float32] | None = None, rate: int = RATE, **options: str
) -> Path:
    """Write a recording, by default a tone; the extension says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(500, rate=rate) if samples is None else samples, rate, **options)
    return path


def write_table(path: Path, names: Iterable[str], rows: Iterable[Iterable[object]]) -> Path:
    """Write a table of comma-separated values."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(names), *map(list, rows)])
    return path
