"""Random changes of training images that keep their label: flips, shifts and erased rectangles.

What is drawn depends on the seed, the epoch and the number of the example alone, not on the batch or on what was drawn
before, so that a resumed training continues with the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.images.picture import Frames

Numbers = NDArray[np.float64]
Batch = Frames
"""(batch, frames, height, width, channels)."""
ERASED: Final = (0.2, 0.5)
"""Least and greatest side of an erased rectangle, as shares of height and width."""


def uniforms(seed: int, epoch: int, rows: Sequence[int], count: int) -> Numbers:
    """Return `count` numbers from 0 up to 1 for each example, (rows, count), a function of all arguments.

    A counter hashed by SplitMix64 (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195).

    >>> whole = uniforms(1, 2, range(9), 3)
    >>> whole.shape, bool((uniforms(1, 2, [4, 7], 3) == whole[[4, 7]]).all())
    ((9, 3), True)
    """
    start: Any = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    # `Any`: NumPy's types know no arithmetic of 64-bit counters.
    counter: Any = np.array(rows, np.uint64)[:, None] * np.uint64(count)
    counter = counter + np.arange(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        state = start + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    # The upper 53 bits are what a double holds.
    numbers: Numbers = (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def flip(images: Batch, chosen: NDArray[np.bool_]) -> Batch:
    """Exchange left and right of the chosen images.

    >>> flip(np.arange(2, dtype=np.uint8).reshape(1, 1, 1, 2, 1), np.array([True])).ravel().tolist()
    [1, 0]
    """
    changed = images.copy()
    changed[chosen] = images[chosen][:, :, :, ::-1]
    return changed


def shift(images: Batch, down: NDArray[np.int64], right: NDArray[np.int64]) -> Batch:
    """Move each image by whole pixels; the pixels of the border are repeated.

    >>> image = np.arange(3, dtype=np.uint8).reshape(1, 1, 1, 3, 1)
    >>> shift(image, np.array([0]), np.array([1])).ravel().tolist()
    [0, 0, 1]
    """
    height, width = images.shape[2:4]
    rows = (np.arange(height) - down[:, None]).clip(0, height - 1)
    columns = (np.arange(width) - right[:, None]).clip(0, width - 1)
    moved = np.take_along_axis(images, rows[:, None, :, None, None], axis=2)
    return np.take_along_axis(moved, columns[:, None, None, :, None], axis=3)


def erase(
    images: Batch, chosen: NDArray[np.bool_], places: Numbers, colour: NDArray[np.uint8]
) -> Batch:
    """Fill a rectangle of the chosen images with a colour (Zhong et al. 2020, https://arxiv.org/abs/1708.04896).

    Its sides are between 0.2 and 0.5 of those of the image.

    Args:
        images: the images.
        chosen: (batch,), which are changed.
        places: (batch, 4), from 0 to 1: height, width, top and left within their ranges.
        colour: (channels,).
    """
    changed = images.copy()
    least, greatest = ERASED
    for row in np.flatnonzero(chosen):
        sides = [
            max(1, round(size * (least + (greatest - least) * share)))
            for size, share in zip(images.shape[2:4], places[row, :2], strict=True)
        ]
        top, left = (
            int(share * (size - side + 1))
            for size, side, share in zip(images.shape[2:4], sides, places[row, 2:], strict=True)
        )
        changed[row, :, top : top + sides[0], left : left + sides[1]] = colour
    return changed
