"""Mean and variance normalization of the bands of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from heedful.data.audio.augment import DECIBEL
from heedful.data.audio.cache import Features
from heedful.data.standardize import Standardizer
from heedful.errors import DataError

SPEECH: Final = 15.0
"""Frames that are more decibels below the loudest are taken to be silence."""
_TINY: Final = 1e-5
"""Least deviation: a band that is constant is not divided by 0."""
_SAMPLE: Final = 64
"""Frames of a speaker that are perturbed to find how much the mean of all moves."""


def loud_part(values: Tensor, decibels: float) -> Tensor:
    """Return which frames, (frames,), bool, lie between the first and the last that is loud.

    Loud is a frame at most `decibels` below the loudest; values are log power, (frames, bands).

    >>> loud_part(torch.tensor([[-90.0], [0.0], [-90.0], [-1.0], [-90.0]]), 30.0).tolist()
    [False, True, True, True, False]
    """
    level = values.logsumexp(1)
    loud = (level >= level.max() - decibels * DECIBEL).long()
    return (loud.cumsum(0) > 0) & (loud.flip(0).cumsum(0).flip(0) > 0)


def raise_floor(values: Tensor, decibels: float) -> Tensor:
    """Add background to all log power, `decibels` below the loudest band: silence of all recordings is then alike.

    >>> [round(each, 2) for each in raise_floor(torch.tensor([[0.0], [-90.0]]), 30.0)[:, 0].tolist()]
    [0.0, -6.91]
    """
    return torch.logaddexp(values, values.max() - decibels * DECIBEL)


def normalize(values: Tensor, *, by: Tensor | None = None, variance: bool = True) -> Tensor:
    """Take its mean off each band, (frames, bands), and divide by its deviation; both are those of the frames `by`.

    >>> normalize(torch.tensor([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    """
    frames = values.double() if by is None else by.double()
    mean = frames.mean(0)
    centred = values.double() - mean
    if variance:
        centred = centred / (frames - mean).square().mean(0).sqrt().clamp(min=_TINY)
    return centred.float()


def normalize_sliding(values: Tensor, window: int, *, variance: bool = True) -> Tensor:
    """Normalize each frame by the `window` frames around it; at the edges the window is moved inside, as in Kaldi.

    >>> [round(each, 2) for each in normalize_sliding(torch.tensor([[1.0], [3.0], [9.0]]), 5)[:, 0].tolist()]
    [-0.98, -0.39, 1.37]
    """
    frames = values.shape[0]
    # Not min(): in an exported program the number of frames is a variable.
    window = torch.sym_min(window, frames)
    first = (torch.arange(frames) - window // 2).clamp(min=0).clamp(max=frames - window)
    # Sums are taken of centred values, so that the difference of two is exact enough.
    centred = values.double()
    centred = centred - centred.mean(0)
    mean = _window_sums(centred, first, window) / window
    result = centred - mean
    if variance:
        power = _window_sums(centred.square(), first, window) / window - mean.square()
        result = result / power.clamp(min=_TINY**2).sqrt()
    return result.float()


def _window_sums(values: Tensor, first: Tensor, window: int) -> Tensor:
    """Return the sum of the `window` rows from each of `first` on."""
    sums = torch.cat([values.new_zeros(1, values.shape[1]), values.cumsum(0)])
    return sums[first + window] - sums[first]


def speech(values: Tensor) -> Tensor:
    """Return the loud frames of a recording, (loud, bands): those not more than 15 dB below the loudest.

    >>> speech(torch.tensor([[0.0], [-9.0], [-1.0]]))[:, 0].tolist()
    [0.0, -1.0]
    """
    level = values.logsumexp(1)
    return values[level >= level.max() - SPEECH * DECIBEL]


def band_statistics(recordings: Sequence[Features]) -> Standardizer:
    """Return mean and deviation of each band over all frames."""
    total = sum(len(each) for each in recordings)
    if not total:
        raise DataError("the recordings have no frames.")
    mean = sum(each.sum(axis=0, dtype=np.float64) for each in recordings) / total
    square = sum(((each - mean) ** 2).sum(axis=0) for each in recordings) / total
    scale = np.sqrt(square)
    return Standardizer(np.asarray(mean), np.where(scale > 0, scale, 1.0))


@dataclass(frozen=True, eq=False)
class VoiceStatistics:
    """Mean and deviation of the bands of a speaker, and a sample of the frames that they are of."""

    bands: Standardizer
    frames: Features
    """(sample, bands), log power."""

    @classmethod
    def of(cls, recordings: Sequence[Features]) -> Self:
        """Return the statistics of recordings of a speaker, each (frames, bands).

        >>> found = VoiceStatistics.of([np.float32([[1.0], [3.0]])])
        >>> found.bands.mean.tolist(), found.frames.tolist()
        ([2.0], [[1.0], [3.0]])
        """
        frames = np.concatenate(recordings)
        rows = np.linspace(0, len(frames) - 1, min(len(frames), _SAMPLE)).round().astype(int)
        return cls(band_statistics(recordings), frames[rows])

    def moved(self, frames: Features) -> Self:
        """Return the statistics after a perturbation of the speaker that turned the sample into `frames`.

        The mean moves as that of the sample, and the deviation grows as that of the sample.

        >>> found = VoiceStatistics.of([np.float32([[1.0], [3.0]])]).moved(np.float32([[4.0], [8.0]]))
        >>> found.bands.mean.tolist(), found.bands.scale.tolist()
        ([6.0], [2.0])
        """
        deviation, before = (np.maximum(each.std(0), _TINY) for each in (frames, self.frames))
        bands = Standardizer(
            self.bands.mean + (frames.mean(0) - self.frames.mean(0)),
            self.bands.scale * (deviation / before),
        )
        return replace(self, bands=bands, frames=frames)
