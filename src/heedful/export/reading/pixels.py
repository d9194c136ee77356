"""Images and videos as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from heedful.export.program import Given
from heedful.export.reading.base import BATCH, Code, Reading
from heedful.inputs.patches import PatchInput
from heedful.inputs.scenes import SceneInput
from heedful.models.encoders.patches import PatchBatch, grid_of

_MODES: Final = {1: "L", 3: "RGB"}
"""Channels -> what Pillow calls such images."""


class PixelsReading(Reading):
    """`pixels` (batch, frames, height, width, channels), unsigned bytes, of the one size that the model reads; images
    are of one frame.
    """

    @property
    def patches(self) -> PatchInput:
        """The input that cuts images into cells."""
        patches: PatchInput = (
            self.input.patches if isinstance(self.input, SceneInput) else self.input
        )
        return patches

    @property
    def size(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels of an input."""
        told = self.patches.statistics
        return (self.patches.frames or 1, told.height, told.width, told.channels)

    @property
    def given(self) -> Sequence[Given]:
        pixels = torch.zeros(BATCH, *self.size, dtype=torch.uint8)
        return [Given("pixels", ("batch", *self.size), pixels)]

    def batch(self, *tensors: Tensor) -> Any:
        [pixels] = tensors
        prefix = int(self.patches.options.class_token)
        grid = grid_of(self.size[:3], self.patches.patch, prefix=prefix)
        return PatchBatch(pixels, torch.full((pixels.shape[0],), grid.length))

    def code(self) -> Code:
        frames, height, width, channels = self.size
        return Code(
            ["from PIL import Image"],
            [
                'image = Image.new("RGB", (90, 60), "orange")  # Image.open("picture.png")',
                f'image = image.convert("{_MODES[channels]}").resize(({width}, {height}), Image.Resampling.BILINEAR)',
                f"pixels = np.array(image).reshape(1, 1, {height}, {width}, {channels}).repeat({frames}, 1)",
            ],
        )

    @property
    def notes(self) -> str:
        frames, height, width, channels = self.size
        what = f"videos of {frames} frames" if self.patches.frames else "images"
        fits = {
            "stretch": "scaled to it, height and width apart",
            "crop": "scaled until the shorter side fits, and cut to it around the center",
            "pad": "scaled until the longer side fits, with black around them",
        }
        return (
            f"`pixels` are {what} of {height} × {width} pixels and {channels} channels, from 0 to 255. Others are "
            f"{fits[self.patches.fit]}, by bilinear interpolation."
        )
