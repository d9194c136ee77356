"""Perturbations of log-mel features: tempo, pitch, mel warp, gains, noise and masks, all drawn from one generator."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from heedful.data.audio.cache import Features

Masks = tuple[tuple[int, int], ...]
"""(first, number of) of bands or frames."""
DECIBEL = math.log(10) / 10
"""Of power, in the natural logarithm of the features."""


class SpecMasks(NamedTuple):
    """What SpecAugment hides of a recording."""

    frames: Masks = ()
    bands: Masks = ()


def crop(features: Features, before: float, after: float) -> Features:
    """Return features without these shares of the frames at the beginning and at the end; at least one frame is left.

    >>> crop(np.arange(10.0, dtype=np.float32)[:, None], 0.2, 0.1)[:, 0].tolist()
    [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    """
    frames = len(features)
    first = min(int(before * frames), frames - 1)
    return features[first : max(first + 1, frames - int(after * frames))]


def stretch(features: Features, factor: float) -> Features:
    """Return features at another tempo, the pitch unchanged: `factor` 2 halves the number of frames.

    Frames are interpolated linearly along time.

    >>> stretch(np.array([[0.0], [1.0], [2.0]], np.float32), 0.5)[:, 0].tolist()
    [0.0, 0.4000000059604645, 0.800000011920929, 1.2000000476837158, 1.600000023841858, 2.0]
    """
    count = stretched_length(len(features), factor)
    return interpolate(features, np.linspace(0, len(features) - 1, count))


def stretched_length(frames: int, factor: float) -> int:
    """Return the number of frames of `stretch`."""
    return max(1, round(frames / factor))


def warp(features: Features, factor: float) -> Features:
    """Return features whose mel scale is stretched: a shorter or longer vocal tract.

    Band b takes the value at band b · factor, linearly between bands; beyond the last band the last.

    >>> warp(np.array([[0.0, 1.0, 2.0]], np.float32), 0.5).tolist()
    [[0.0, 0.5, 1.0]]
    """
    bands = features.shape[1]
    at = np.minimum(np.arange(bands) * factor, bands - 1)
    return np.ascontiguousarray(interpolate(features.T, at).T)


def move_bands(features: Features, factor: float, centres: np.ndarray) -> Features:
    """Return features as of a voice `factor` times as high: the power at a frequency f moves to f · factor.

    With `stretch` by the same factor it is a recording played so many times as fast: tempo and pitch change together.
    Bands whose power would come from above the highest band take that of the highest.

    Args:
        features: (frames, bands).
        factor: 1.1 is ten percent higher.
        centres: of the bands, in Hz, (bands,), ascending; see `fbank.mel_centres`.

    >>> move_bands(np.array([[0.0, 1.0, 2.0]]), 2.0, np.array([100.0, 200.0, 400.0])).tolist()
    [[0.0, 0.0, 1.0]]
    """
    at = np.interp(centres / factor, centres, np.arange(len(centres)))
    return np.ascontiguousarray(interpolate(features.T, at).T)


def equalize(features: Features, decibels: float, rng: np.random.Generator) -> Features:
    r"""Add a random smooth gain over the bands: another microphone, or another room.

    .. math:: g(x) = D \sum_{k=1}^{4} \frac{z_k}{k} \cos(\pi k x), \quad z_k \sim N(0, 1), x \in [0, 1]

    Args:
        features: log power, (frames, bands).
        decibels: D, the deviation of the slowest part.
        rng: draws z.
    """
    along = np.linspace(0, np.pi, features.shape[1])
    waves = [rng.normal() / number * np.cos(number * along) for number in range(1, 5)]
    found: Features = (features + decibels * DECIBEL * np.sum(waves, axis=0)).astype(np.float32)
    return found


def interpolate(rows: Features, at: np.ndarray) -> Features:
    """Return rows at fractional indices, (rows, columns) -> (len(at), columns)."""
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, len(rows) - 1)
    share = (at - low).astype(np.float32)[:, None]
    found: Features = rows[low] * (1 - share) + rows[high] * share
    return found


def tilt(features: Features, decibels: float) -> Features:
    """Add a channel whose gain rises linearly from -decibels at the first band to +decibels at the last."""
    slope = np.linspace(-decibels, decibels, features.shape[1], dtype=np.float32)
    found: Features = features + slope * DECIBEL
    return found


def add_noise(
    features: Features, ratio: float, rng: np.random.Generator, count: int | None = None
) -> Features:
    """Add stationary noise of a random spectrum to the power of each band.

    Args:
        features: log power, (frames, bands).
        ratio: mean power of the recording over that of the noise, in dB.
        rng: draws the colour of the noise, ±10 dB over the bands, and its fluctuation.
        count: the first so many frames are the recording that `ratio` is about; None: all.
    """
    loudest = features[:count].max()
    power = np.exp(features - loudest)
    colour = np.linspace(0, 1, features.shape[1]) * rng.uniform(-10, 10) * DECIBEL
    # The power of Gaussian noise in a band that joins several bins is about a gamma variable.
    noise = np.exp(colour) * rng.gamma(4.0, 0.25, features.shape)
    noise *= power[:count].mean() / noise.mean() * np.exp(-ratio * DECIBEL)
    found: Features = (np.log(power + noise) + loudest).astype(np.float32)
    return found


def draw_masks(rng: np.random.Generator, size: int, number: int, longest: int) -> Masks:
    """Draw masks over `size` bands or frames, each 0 to `longest` long (Park et al. 2019, SpecAugment)."""
    masks = []
    for _ in range(number):
        width = int(rng.integers(0, min(longest, size) + 1))
        masks.append((int(rng.integers(0, size - width + 1)), width))
    return tuple(masks)
