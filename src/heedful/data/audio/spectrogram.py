"""What is drawn of a recording: its samples, its frames, and where the model's positions lie in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from heedful.data.audio.cache import Features
from heedful.data.audio.files import Samples


class Spectrogram(NamedTuple):
    """A recording to draw and to play."""

    samples: Samples
    """(samples,), in [-1, 1]."""
    rate: int
    values: Features
    """(frames, bands), log power: all frames, those that trimming cuts off too."""
    frames: Sequence[float]
    """Seconds of the middle of each frame."""
    positions: Sequence[float]
    """Seconds of the middle of each position of the model."""
    low: float
    """Lowest frequency, in Hz."""
    high: float
    """Highest frequency, in Hz."""
