"""The size that images are brought to, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from heedful.data.images.decode import Pixels

Fit = Literal["stretch", "crop", "pad"]
FITS: tuple[Fit, ...] = get_args(Fit)
AS_THEY_ARE = 128
"""Images of one size are read as they are up to this many pixels a side."""
DEFAULT_SIZE = 64
"""Height and width of other images, if no size is stated."""


class Form(NamedTuple):
    """Height and width of all images of a model, and how others are brought to them.

    "stretch" scales height and width separately. "crop" keeps the shape and cuts off what is too long at both ends;
    "pad" keeps the shape and adds black at both ends. Scaling is bilinear, over the whole area when it shrinks; of a
    map of labels the nearest pixel is taken.
    """

    height: int
    width: int
    fit: Fit = "stretch"


class Place(NamedTuple):
    """Where an image lies in a form, in pixels of the form; what is cropped lies outside."""

    left: int
    top: int
    width: int
    height: int


def place_in(form: Form, size: tuple[int, int]) -> Place:
    """Return where an image of (height, width) lies in a form.

    >>> place_in(Form(8, 8, "pad"), (4, 2)), place_in(Form(8, 8), (4, 2))
    (Place(left=2, top=0, width=4, height=8), Place(left=0, top=0, width=8, height=8))
    """
    height, width = size
    if size == form[:2] or form.fit == "stretch":
        return Place(0, 0, form.width, form.height)
    ratios = form.height / height, form.width / width
    ratio = max(ratios) if form.fit == "crop" else min(ratios)
    across, down = max(1, round(width * ratio)), max(1, round(height * ratio))
    return Place(-((across - form.width) // 2), -((down - form.height) // 2), across, down)


def common_form(sizes: Sequence[tuple[int, int]], side: int, fit: Fit) -> Form:
    """Return the form of images of the sizes (height, width).

    `side` states height and width. If it is 0, images of one size of up to 128 pixels a side stay as they are, and all
    others become 64 × 64.

    >>> common_form([(28, 28), (28, 28)], 0, "stretch")[:2], common_form([(28, 28), (30, 20)], 0, "stretch")[:2]
    ((28, 28), (64, 64))
    """
    if side:
        return Form(side, side, fit)
    if len(set(sizes)) == 1 and max(sizes[0]) <= AS_THEY_ARE:
        return Form(*sizes[0], fit)
    return Form(DEFAULT_SIZE, DEFAULT_SIZE, fit)


def resize(pixels: Pixels, form: Form, *, nearest: bool = False) -> Pixels:
    """Bring an image (height, width, channels) to a form.

    >>> resize(np.full((4, 8, 1), 7, np.uint8), Form(2, 2, "pad"))[..., 0].tolist()
    [[0, 0], [7, 7]]
    """
    height, width, channels = pixels.shape
    if (height, width) == form[:2]:
        return pixels
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    method = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    place = place_in(form, (height, width))
    resized = image.resize((place.width, place.height), method)
    if place != (0, 0, form.width, form.height):
        left, top = -place.left, -place.top
        resized = resized.crop((left, top, left + form.width, top + form.height))
    return np.array(resized).reshape(form.height, form.width, channels)


def as_channels(pixels: Pixels, channels: int) -> Pixels:
    """Return pixels (..., height, width, 1 or 3) as (..., height, width, channels): 1 for grey or 3 for RGB.

    Grey of a colour is 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601); grey as a colour has three equal channels.

    >>> as_channels(np.array([[[255, 0, 0]]], np.uint8), 1).tolist()
    [[[76]]]
    """
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    weights = np.array([299, 587, 114])
    grey: Pixels = ((pixels @ weights + 500) // 1000).astype(np.uint8)
    return grey[..., None]
