"""Datasets of images with the objects in them, as boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from heedful.data.dataset import Dataset
from heedful.data.images.picture import Picture
from heedful.errors import DataError


@dataclass(frozen=True)
class Box:
    """An object in an image, in pixels from its upper left corner."""

    label: str
    left: float
    top: float
    width: float
    height: float
    score: float = 1.0
    """Probability of a predicted object."""
    is_crowd: bool = False
    """Whether it holds many objects that were not marked one by one: what is found in it counts neither as right nor
    as wrong, and nothing is learned from it."""

    def moved(self, right: float, down: float) -> Box:
        """Return the box at another place.

        >>> Box("cat", 1, 2, 3, 4).moved(10, 20)
        Box(label='cat', left=11, top=22, width=3, height=4, score=1.0, is_crowd=False)
        """
        place = self.left + right, self.top + down
        return Box(self.label, *place, self.width, self.height, self.score, self.is_crowd)

    def clipped(self, width: float, height: float) -> Box:
        """Return what of the box lies within an image of this size; width or height 0 if nothing does.

        >>> Box("cat", -2, 1, 5, 9).clipped(10, 8)
        Box(label='cat', left=0.0, top=1, width=3.0, height=7.0, score=1.0, is_crowd=False)
        """
        left, right = (min(max(x, 0.0), float(width)) for x in (self.left, self.left + self.width))
        top, bottom = (min(max(y, 0.0), float(height)) for y in (self.top, self.top + self.height))
        return Box(
            self.label,
            left,
            top,
            max(right - left, 0.0),
            max(bottom - top, 0.0),
            self.score,
            self.is_crowd,
        )


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with the objects in it, and where it was read."""

    picture: Picture
    boxes: tuple[Box, ...] = ()
    path: Path | None = None
    number: int | str | None = None
    """The id of the image in its file."""

    @property
    def objects(self) -> tuple[Box, ...]:
        """The boxes of single objects, without crowds."""
        return tuple(box for box in self.boxes if not box.is_crowd)

    def error(self, message: str) -> DataError:
        """Return an error about this scene, with its file and the name of the picture."""
        return DataError(f"{self.picture.name}: {message}", path=self.path)


Maker = Callable[[np.random.Generator], Scene]
"""Makes a scene of what it draws."""


@dataclass(frozen=True)
class Scenes(Dataset):
    """Images with objects, in order.

    With a `maker` there are more where they came from: training takes a fresh scene in the place of each in every
    epoch.
    """

    scenes: Sequence[Scene]
    name: str = "images"
    skipped: Sequence[str] = ()
    maker: Maker | None = None
    categories: tuple[tuple[str, int], ...] = ()
    """Label and id of each category of a file in COCO's format."""
    example: ClassVar[str] = "image"
    has_any_length: ClassVar[bool] = False

    @property
    def inputs(self) -> list[Picture]:
        """The pictures."""
        return [each.picture for each in self.scenes]

    @property
    def answers(self) -> list[tuple[Box, ...]]:
        """The boxes of each picture."""
        return [each.boxes for each in self.scenes]

    def __len__(self) -> int:
        return len(self.scenes)

    def take(self, rows: Sequence[int]) -> Scenes:
        return Scenes([self.scenes[row] for row in rows], self.name, (), None, self.categories)

    def fresh(self, generator: np.random.Generator) -> Scenes | None:
        if self.maker is None:
            return None
        return Scenes([self.maker(generator)], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return [each.digest() for each in self.inputs], [repr(boxes) for boxes in self.answers]

    def labels(self) -> list[tuple[str, ...]]:
        return [tuple(dict.fromkeys(box.label for box in each.objects)) for each in self.scenes]

    def input_of_length(self, length: int) -> Picture:
        """Return the first image, whatever the length: a model brings all to one size."""
        return self.inputs[0]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.scenes[row].error(message)
