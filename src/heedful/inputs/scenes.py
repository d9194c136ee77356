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


class EncodedScene(NamedTuple):
    """The pixels of an image in the size that the model reads, and its own."""

    pixels: Frames
    size: tuple[int, int]
    """Height and width."""


class SceneTarget(NamedTuple):
    """The objects of an image."""

    labels: NDArray[np.int64]
    """(objects,)."""
    boxes: NDArray[np.float32]
    """(objects, 4): center x, center y, width and height, in shares of the image."""


class SceneBatch(NamedTuple):
    """Images brought to one size."""

    pixels: Tensor
    """(batch, 1, height, width, channels), uint8."""
    lengths: Tensor
    """(batch,), long: the same for all."""
    sizes: Tensor
    """(batch, 2), long: height and width that each image had."""


@dataclass(frozen=True, eq=False)
class SceneInput(EmbeddedInput[Picture, EncodedScene]):
    """Images of any size, brought to one and cut into cells as by `PatchInput`.

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
        """Return the pixels and the size of each image."""
        pixels = self.patches.encode(examples)
        return [
            EncodedScene(*each) for each in zip(pixels, (one.size for one in examples), strict=True)
        ]

    def length(self, encoded: EncodedScene) -> int:
        return self.patches.length(encoded.pixels)

    def collate(self, encoded: Sequence[EncodedScene]) -> SceneBatch:
        batch = self.patches.collate([each.pixels for each in encoded])
        return SceneBatch(*batch, torch.tensor([each.size for each in encoded]))

    def pair_augmentation(
        self,
    ) -> Callable[[EncodedScene, Any, np.random.Generator], tuple[EncodedScene, Any]] | None:
        return self._changed if self.changes.is_on else None

    def _changed(
        self, scene: EncodedScene, target: SceneTarget, generator: np.random.Generator
    ) -> tuple[EncodedScene, SceneTarget]:
        """Return an image and its boxes, flipped and shifted at random."""
        draw, pixels, boxes = generator.random(3), scene.pixels, target.boxes.copy()
        labels = target.labels
        if self.changes.flip and draw[0] < 0.5:
            pixels = flip(pixels)
            boxes[:, 0] = 1 - boxes[:, 0]
        if self.changes.shift:
            places = 2 * self.changes.shift + 1
            down, right = (int(each * places) - self.changes.shift for each in draw[1:])
            height, width = pixels.shape[1:3]
            pixels = shift(pixels, down, right)
            boxes, kept = shifted(boxes, right / width, down / height)
            labels = labels[kept]
        return scene._replace(pixels=pixels), SceneTarget(labels, boxes)

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


def shifted(
    boxes: NDArray[np.float32], right: float, down: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Move boxes (n, 4) and cut off what leaves the image; return those of which enough is left, and which these are.

    >>> found, kept = shifted(np.array([[0.5, 0.5, 0.2, 0.2], [0.9, 0.5, 0.2, 0.2]], np.float32), 0.5, 0.0)
    >>> kept.tolist()
    [True, False]
    >>> [round(float(x), 2) for x in found[0]]
    [0.95, 0.5, 0.1, 0.2]
    """
    moved = boxes[:, :2] + np.array([right, down], np.float32)
    low, high = (moved - boxes[:, 2:] / 2).clip(0, 1), (moved + boxes[:, 2:] / 2).clip(0, 1)
    kept = (high - low).prod(axis=1) >= LEFT * boxes[:, 2:].prod(axis=1)
    found: NDArray[np.float32] = np.concatenate([(low + high) / 2, high - low], axis=1)
    return found[kept], kept
