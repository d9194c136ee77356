"""Images in which objects are to be found: cells of pixels, with the size that each image had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from heedful.data.images.augment import flip, shift
from heedful.data.images.form import Place, place_in
from heedful.data.images.picture import Frames, Picture
from heedful.inputs.base import EmbeddedInput
from heedful.inputs.patches import PatchInput
from heedful.models.config import Section
from heedful.models.encoders.patches import PatchFeatures
from heedful.ops.grid import Grid

LEFT: Final = 0.3
"""Least share of an object that has to be left in a shifted image."""


class SceneAugmentation(Section):
    """Random changes of training images and their boxes. Each must leave the labels true: text is not flipped."""

    flip: bool = Field(False, description="Exchange left and right of every other image.")
    shift: int = Field(
        0,
        ge=0,
        description="Move images by up to so many pixels in both directions; objects that are moved out are dropped.",
    )

    @property
    def is_on(self) -> bool:
        """Whether anything is changed."""
        return self.flip or self.shift > 0


class Frame(NamedTuple):
    """Where an image lies within the pixels that the model reads, in shares of their height and width.

    (0, 0, 1, 1) if it was stretched; with fit = pad there is black around it.
    """

    left: float
    top: float
    width: float
    height: float


class EncodedScene(NamedTuple):
    """The pixels of an image in the size that the model reads, and its own."""

    pixels: Frames
    size: tuple[int, int]
    """Height and width."""
    frame: Frame
    """Where in `pixels` the image lies."""


class SceneTarget(NamedTuple):
    """The objects of an image."""

    labels: NDArray[np.int64]
    """(objects,)."""
    boxes: NDArray[np.float32]
    """(objects, 4): center x, center y, width and height, in shares of the image, as it was before it was brought to
    the size of the model."""


class SceneBatch(NamedTuple):
    """Images brought to one size."""

    pixels: Tensor
    """(batch, 1, height, width, channels), uint8."""
    lengths: Tensor
    """(batch,), long: the same for all."""
    sizes: Tensor
    """(batch, 2), long: height and width that each image had."""
    frames: Tensor
    """(batch, 4): the `Frame` of each image."""

    def to_model(self, boxes: Tensor, counts: Tensor) -> Tensor:
        """Convert boxes (objects, 4) in shares of each image, `counts` of each, to shares of what the model reads."""
        frames = self.frames.repeat_interleave(counts, dim=0).to(boxes.dtype)
        origin, size = frames[:, :2], frames[:, 2:]
        return torch.cat([boxes[:, :2] * size + origin, boxes[:, 2:] * size], dim=-1)

    def from_model(self, boxes: Tensor) -> Tensor:
        """Convert boxes (batch, queries, 4) in shares of what the model reads to shares of each image."""
        frames = self.frames.to(boxes.dtype)[:, None]
        origin, size = frames[..., :2], frames[..., 2:]
        return torch.cat([(boxes[..., :2] - origin) / size, boxes[..., 2:] / size], dim=-1)


@dataclass(frozen=True, eq=False)
class SceneInput(EmbeddedInput[Picture, EncodedScene]):
    """Images of any size, brought to one and cut into cells as by `PatchInput`, with where each came to lie.

    Reads what `PatchInput` reads, and augmentation (`SceneAugmentation`).

    >>> from heedful.tasks.detect import DetectConfig
    >>> config = DetectConfig.model_validate({"data": {"patch": 2, "size": 4}})
    >>> black = Picture.of(np.zeros((8, 6), np.uint8), "black")
    >>> scenes = SceneInput.learn(config, [black])
    >>> batch = scenes.collate(scenes.encode([black]))
    >>> batch.pixels.shape, batch.sizes.tolist()
    (torch.Size([1, 1, 4, 4, 1]), [[8, 6]])
    """

    patches: PatchInput
    changes: SceneAugmentation

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Picture]) -> Self:
        return cls(PatchInput.learn(_without_changes(config), examples), config.augmentation)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(PatchInput.load(_without_changes(config), folder), config.augmentation)

    def save(self, folder: Path) -> None:
        self.patches.save(folder)

    def encode(self, examples: Sequence[Picture]) -> list[EncodedScene]:
        """Return the pixels of each image, its size, and where it lies."""
        return [
            EncodedScene(pixels, example.size, self._frame(example))
            for pixels, example in zip(self.patches.encode(examples), examples, strict=True)
        ]

    def place(self, example: Picture) -> Place:
        """Return where an image lies within the pixels of `view`."""
        return place_in(self.patches.form, example.size)

    def _frame(self, example: Picture) -> Frame:
        form, place = self.patches.form, self.place(example)
        return Frame(
            place.left / form.width,
            place.top / form.height,
            place.width / form.width,
            place.height / form.height,
        )

    def length(self, encoded: EncodedScene) -> int:
        return self.patches.length(encoded.pixels)

    def collate(self, encoded: Sequence[EncodedScene]) -> SceneBatch:
        batch = self.patches.collate([each.pixels for each in encoded])
        return SceneBatch(
            *batch,
            torch.tensor([each.size for each in encoded]),
            torch.tensor([each.frame for each in encoded]),
        )

    def pair_augmentation(
        self,
    ) -> Callable[[EncodedScene, Any, np.random.Generator], tuple[EncodedScene, Any]] | None:
        return self._changed if self.changes.is_on else None

    def _changed(
        self, scene: EncodedScene, target: SceneTarget, generator: np.random.Generator
    ) -> tuple[EncodedScene, SceneTarget]:
        """Return an image and its boxes, flipped and shifted at random."""
        draw, pixels, boxes = generator.random(3), scene.pixels, target.boxes.copy()
        labels, frame = target.labels, scene.frame
        if self.changes.flip and draw[0] < 0.5:
            pixels = flip(pixels)
            boxes[:, 0] = 1 - boxes[:, 0]
            frame = frame._replace(left=1 - frame.left - frame.width)
        if self.changes.shift:
            places = 2 * self.changes.shift + 1
            down, right = (int(each * places) - self.changes.shift for each in draw[1:])
            height, width = pixels.shape[1:3]
            pixels = shift(pixels, down, right)
            frame = frame._replace(left=frame.left + right / width, top=frame.top + down / height)
            boxes, kept = clipped(boxes, frame)
            labels = labels[kept]
        return scene._replace(pixels=pixels, frame=frame), SceneTarget(labels, boxes)

    def embedding(self) -> PatchFeatures:
        return self.patches.embedding()

    def sizes(self) -> dict[str, int]:
        return self.patches.sizes()

    def positions(self, example: Picture) -> list[str]:
        return self.patches.positions(example)

    def view(self, example: Picture) -> tuple[Frames, Grid]:
        return self.patches.view(example)

    def title(self, example: Picture) -> str:
        return self.patches.title(example)


def _without_changes(config: Any) -> Any:
    """Return the configuration with the random changes left out, which `PatchInput` would make to pixels alone."""
    return config.model_copy(update={"augmentation": SceneAugmentation()})


def clipped(
    boxes: NDArray[np.float32], frame: Frame
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut off what of boxes (n, 4), in shares of an image, lies outside what the model reads, of which the image's
    frame says which part that is; return those of which enough is left, and which these are.

    >>> boxes = np.array([[0.5, 0.5, 0.2, 0.2], [0.9, 0.5, 0.2, 0.2]], np.float32)
    >>> found, kept = clipped(boxes, Frame(0.5, 0.0, 1.0, 1.0))
    >>> kept.tolist()
    [True, False]
    >>> [round(float(x), 2) for x in found[0]]
    [0.45, 0.5, 0.1, 0.2]
    """
    origin, size = np.array(frame, np.float32).reshape(2, 2)
    least, most = -origin / size, (1 - origin) / size
    low = (boxes[:, :2] - boxes[:, 2:] / 2).clip(least, most)
    high = (boxes[:, :2] + boxes[:, 2:] / 2).clip(least, most)
    kept = (high - low).prod(axis=1) >= LEFT * boxes[:, 2:].prod(axis=1)
    found: NDArray[np.float32] = np.concatenate([(low + high) / 2, high - low], axis=1)
    return found[kept], kept
