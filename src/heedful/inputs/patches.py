"""Images and videos as an input: cells of pixels, standardised by the training images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from pydantic import Field

from heedful.data.images.augment import erase, flip, shift
from heedful.data.images.form import Fit, Form, as_channels, common_form
from heedful.data.images.picture import Frames, Picture
from heedful.errors import DataError, RunError
from heedful.inputs.base import EmbeddedInput
from heedful.models.config import Section
from heedful.models.encoders.patches import PatchBatch, PatchesConfig, PatchFeatures, grid_of
from heedful.ops.grid import Grid
from heedful.strict_json import to_strict_json


class AugmentationConfig(Section):
    """Random changes of training images. Each must leave the answer true: text is not flipped."""

    flip: bool = Field(False, description="Exchange left and right of every other image.")
    shift: int = Field(
        0, ge=0, description="Move images by up to so many pixels in both directions."
    )
    erase: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the images in which a rectangle is filled with the mean colour.",
    )

    @property
    def is_on(self) -> bool:
        """Whether anything is changed."""
        return self.flip or self.shift > 0 or self.erase > 0


class ClassifyAugmentation(AugmentationConfig):
    """Random changes of training images. Each must leave the label true: text is not flipped."""

    mixup: float = Field(
        0.0,
        ge=0,
        description="α of mixup: each image of a batch is blended with another one, and so are their losses; 0.2 is "
        "mild, 1 strong, 0 is off.",
    )


IMAGES: Final = "images.json"
"""The file of a run folder that holds size, channels, and mean and scale of each channel."""
SAMPLE: Final = 5000
"""Training images from which mean and scale are taken."""


@dataclass(frozen=True)
class PixelStatistics:
    """What the images of a model have in common."""

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    """Of the training pixels in 0 … 255, a channel each."""
    scale: tuple[float, ...]
    """Their standard deviation; 1 where all pixels are equal."""


def mean_and_scale(
    images: Iterable[Frames], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, from counts of the 256 values; 1 for a deviation of 0.

    >>> mean_and_scale([np.array([[[[0], [4]]]], np.uint8)], 1)
    ((2.0,), (2.0,))
    """
    counts = np.zeros((channels, 256))
    for image in images:
        for channel in range(channels):
            counts[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256)
    mean = shares @ values
    scale = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(np.where(scale > 0, scale, 1.0).tolist())


@dataclass(frozen=True, eq=False)
class PatchInput(EmbeddedInput[Picture, Frames]):
    """Images of one size, cut into cells of `data.patch` × `data.patch` pixels in reading order.

    Reads the sections inputs (`PatchesConfig`) and augmentation, and of data patch, size, fit, colour and frames.

    >>> from heedful.tasks.images import ClassifyImagesConfig
    >>> config = ClassifyImagesConfig.model_validate({"data": {"patch": 2}})
    >>> images = PatchInput.learn(config, [Picture.of(np.zeros((4, 6), np.uint8), "black")])
    >>> images.sizes(), images.positions(Picture.of(np.zeros((4, 6), np.uint8), "black"))
    ({'rows': 2, 'columns': 3}, ['1,1', '1,2', '1,3', '2,1', '2,2', '2,3'])
    """

    statistics: PixelStatistics
    patch: int
    frames: int
    """Frames of a video; 0: images."""
    fit: Fit
    options: PatchesConfig
    augmentation_options: AugmentationConfig = field(default_factory=AugmentationConfig)

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Picture]) -> Self:
        """Choose size and channels, and take mean and scale of up to 5,000 training images spread over all."""
        data = config.data
        form = common_form([each.size for each in examples], data.size, data.fit)
        is_colour = any(each.channels == 3 for each in examples)
        channels = {"grey": 1, "rgb": 3}.get(data.colour, 3 if is_colour else 1)
        grid_of((1, form.height, form.width), data.patch)
        rows = np.unique(np.linspace(0, len(examples) - 1, SAMPLE).round().astype(int))
        sample = (as_channels(examples[row].at(form), channels) for row in rows)
        mean, scale = mean_and_scale(sample, channels)
        statistics = PixelStatistics(form.height, form.width, channels, mean, scale)
        return cls._of(config, statistics)

    @classmethod
    def _of(cls, config: Any, statistics: PixelStatistics) -> Self:
        data, augmentation = config.data, getattr(config, "augmentation", AugmentationConfig())
        return cls(statistics, data.patch, data.frames, data.fit, config.inputs, augmentation)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        path = folder / IMAGES
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            mean, scale = (tuple(map(float, values.pop(name))) for name in ("mean", "scale"))
            statistics = PixelStatistics(**values, mean=mean, scale=scale)
        except FileNotFoundError:
            raise RunError(f"{path} is missing; copy the run folder again or train anew") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise RunError(f"{path} is damaged; copy the run folder again or train anew") from None
        return cls._of(config, statistics)

    def save(self, folder: Path) -> None:
        text = to_strict_json(asdict(self.statistics))
        (folder / IMAGES).write_text(text + "\n", encoding="utf-8", newline="\n")

    @property
    def form(self) -> Form:
        """The size of the images."""
        return Form(self.statistics.height, self.statistics.width, self.fit)

    def encode(self, examples: Sequence[Picture]) -> list[Frames]:
        """Return the pixels of each image, (frames, height, width, channels).

        Raises: DataError for a video where images were trained on.
        """
        form, channels = self.form, self.statistics.channels
        encoded = []
        for each in examples:
            if each.frames != (self.frames or 1):
                raise DataError(
                    f"{each.name}: {each.frames} frames; the model was trained on "
                    f"{f'videos of {self.frames} frames' if self.frames else 'images'}."
                )
            encoded.append(as_channels(each.at(form), channels))
        return encoded

    def length(self, encoded: Frames) -> int:
        return self._grid.length

    def collate(self, encoded: Sequence[Frames]) -> PatchBatch:
        lengths = torch.full((len(encoded),), self._grid.length)
        return PatchBatch(torch.from_numpy(np.stack(encoded)), lengths)

    def augmentation(self) -> Callable[[Frames, np.random.Generator], Frames] | None:
        return self._changed if self.augmentation_options.is_on else None

    def _changed(self, image: Frames, generator: np.random.Generator) -> Frames:
        """Return an image, flipped, shifted and with an erased rectangle at random."""
        options = self.augmentation_options
        draw = generator.random(8)
        if options.flip and draw[0] < 0.5:
            image = flip(image)
        if options.shift:
            places = 2 * options.shift + 1
            down, right = (int(each * places) - options.shift for each in draw[1:3])
            image = shift(image, down, right)
        if draw[3] < options.erase:
            image = erase(image, draw[4:8], np.rint(self.statistics.mean).astype(np.uint8))
        return image

    def embedding(self) -> PatchFeatures:
        told = self.statistics
        return PatchFeatures(
            self.options,
            (self.frames or 1, told.height, told.width, told.channels),
            self.patch,
            torch.tensor(told.mean),
            torch.tensor(told.scale),
        )

    @property
    def _grid(self) -> Grid:
        size = (self.frames or 1, self.statistics.height, self.statistics.width)
        return grid_of(size, self.patch, prefix=int(self.options.class_token))

    def sizes(self) -> dict[str, int]:
        grid = self._grid
        frames = {"frames": grid.frames} if self.frames else {}
        return {**frames, "rows": grid.rows, "columns": grid.columns}

    def positions(self, example: Picture) -> list[str]:
        """Return row and column of each cell, from 1; of a video with the frame before."""
        grid = self._grid
        cells = [f"{r},{c}" for r in range(1, grid.rows + 1) for c in range(1, grid.columns + 1)]
        if self.frames:
            cells = [f"{frame}:{cell}" for frame in range(1, grid.frames + 1) for cell in cells]
        return ["class"] * grid.prefix + cells

    def view(self, example: Picture) -> tuple[Frames, Grid]:
        return self.encode([example])[0], self._grid

    @property
    def can_hide(self) -> bool:
        return True

    def hide(self, encoded: Frames, positions: Sequence[int]) -> Frames:
        """Replace cells, counted without the class token, by the mean colour of the training images."""
        grid = self._grid
        chosen = np.zeros(grid.cells, bool)
        chosen[list(positions)] = True
        mask = chosen.reshape(grid.frames, grid.rows, grid.columns)
        mask = mask.repeat(self.patch, axis=1).repeat(self.patch, axis=2)[..., None]
        return np.where(mask, np.rint(self.statistics.mean).astype(np.uint8), encoded)

    def title(self, example: Picture) -> str:
        return example.name
