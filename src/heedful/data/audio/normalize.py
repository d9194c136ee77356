"""Mean and variance normalization of the bands of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from heedful.data.audio.augment import DECIBEL
from heedful.data.audio.cache import Features
from heedful.data.standardize import Standardizer
from heedful.errors import DataError

SPEECH: Final = 15.0
"""Frames that are more decibels below the loudest are taken to be silence."""
_TINY: Final = 1e-5
"""Least deviation: a band that is constant is not divided by 0."""


def raise_floor(values: Features, decibels: float) -> Features:
    """Add background to all log power, `decibels` below the loudest band: silence of all recordings is then alike.

    >>> raise_floor(np.array([[0.0], [-90.0]], np.float32), 30.0).round(2)[:, 0].tolist()
    [0.0, -6.909999847412109]
    """
    found: Features = np.logaddexp(values, values.max() - decibels * DECIBEL).astype(np.float32)
    return found


def normalize(values: Features, *, variance: bool = True) -> Features:
    """Take its mean off each band, (frames, bands), and divide by its deviation.

    >>> normalize(np.array([[1.0], [3.0]], np.float32)).tolist()
    [[-1.0], [1.0]]
    """
    centred = values - values.mean(axis=0, dtype=np.float64)
    if variance:
        centred /= np.maximum(np.sqrt(np.mean(centred**2, axis=0)), _TINY)
    found: Features = centred.astype(np.float32)
    return found


def normalize_sliding(values: Features, window: int, *, variance: bool = True) -> Features:
    """Normalize each frame by the `window` frames around it; at the edges the window is moved inside, as in Kaldi.

    >>> normalize_sliding(np.array([[1.0], [3.0], [9.0]], np.float32), 5).astype(float).round(2)[:, 0].tolist()
    [-0.98, -0.39, 1.37]
    """
    frames = len(values)
    window = min(window, frames)
    first = np.clip(np.arange(frames) - window // 2, 0, frames - window)
    zero = np.zeros((1, values.shape[1]))
    # Sums are taken of centred values, so that the difference of two is exact enough.
    centred = values - values.mean(axis=0, dtype=np.float64)
    sums = np.concatenate([zero, centred.cumsum(axis=0)])
    mean = (sums[first + window] - sums[first]) / window
    result = centred - mean
    if variance:
        squares = np.concatenate([zero, (centred**2).cumsum(axis=0)])
        power = (squares[first + window] - squares[first]) / window - mean**2
        result /= np.sqrt(np.maximum(power, _TINY**2))
    found: Features = result.astype(np.float32)
    return found


def speech(values: Features) -> Features:
    """Return the loud frames of a recording, (loud, bands): those not more than 15 dB below the loudest.

    >>> speech(np.array([[0.0], [-9.0], [-1.0]], np.float32))[:, 0].tolist()
    [0.0, -1.0]
    """
    level = np.logaddexp.reduce(values, axis=1)
    found: Features = values[level >= level.max() - SPEECH * DECIBEL]
    return found


def band_statistics(recordings: Sequence[Features]) -> Standardizer:
    """Return mean and deviation of each band over all frames."""
    total = sum(len(each) for each in recordings)
    if not total:
        raise DataError("the recordings have no frames.")
    mean = sum(each.sum(axis=0, dtype=np.float64) for each in recordings) / total
    square = sum(((each - mean) ** 2).sum(axis=0) for each in recordings) / total
    scale = np.sqrt(square)
    return Standardizer(np.asarray(mean), np.where(scale > 0, scale, 1.0))
