"""Random changes of training images that keep their label: flips, shifts and erased rectangles."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.images.picture import Frames

ERASED: Final = (0.2, 0.5)
"""Least and greatest side of an erased rectangle, as shares of height and width."""


def flip(image: Frames) -> Frames:
    """Exchange left and right of (frames, height, width, channels).

    >>> flip(np.arange(2, dtype=np.uint8).reshape(1, 1, 2, 1)).ravel().tolist()
    [1, 0]
    """
    return image[:, :, ::-1]


def shift(image: Frames, down: int, right: int) -> Frames:
    """Move (frames, height, width, channels) by whole pixels; the pixels of the border are repeated.

    >>> image = np.arange(3, dtype=np.uint8).reshape(1, 1, 3, 1)
    >>> shift(image, 0, 1).ravel().tolist()
    [0, 0, 1]
    """
    height, width = image.shape[1:3]
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    moved: Frames = image[:, rows[:, None], columns]
    return moved


def erase(image: Frames, place: NDArray[np.float64], colour: NDArray[np.uint8]) -> Frames:
    """Fill a rectangle of an image with a colour (Zhong et al. 2020, https://arxiv.org/abs/1708.04896).

    Its sides are between 0.2 and 0.5 of those of the image.

    Args:
        image: (frames, height, width, channels).
        place: (4,), from 0 to 1: height, width, top and left within their ranges.
        colour: (channels,).
    """
    changed = image.copy()
    least, greatest = ERASED
    sides = [
        max(1, round(size * (least + (greatest - least) * share)))
        for size, share in zip(image.shape[1:3], place[:2], strict=True)
    ]
    top, left = (
        int(share * (size - side + 1))
        for size, side, share in zip(image.shape[1:3], sides, place[2:], strict=True)
    )
    changed[:, top : top + sides[0], left : left + sides[1]] = colour
    return changed
