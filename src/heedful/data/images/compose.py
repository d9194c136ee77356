"""Scenes made of small images of single items: some of them at random places and sizes, among scraps and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.data.images.objects import Box, Scene
from heedful.data.images.picture import Picture
from heedful.errors import OptionError

Canvas = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SceneMaker:
    """Composes grey scenes of items; called with a generator it returns another scene.

    Items are put over one another; one that later ones hide by more than half is not an object of the scene. Where an
    item is darker than `visible` the scene shows through.

    Raises: OptionError if items and labels differ in number, there are none, or an item is larger than the scene.

    >>> square = np.full((4, 4), 200, np.uint8)
    >>> maker = SceneMaker([square], ["square"], side=16, sizes=(4, 6), most=1, scraps=0, noise=0)
    >>> scene = maker(np.random.default_rng(0))
    >>> [box] = scene.boxes
    >>> box.label, box.width == box.height, int(scene.picture.kept.max())
    ('square', True, 200)
    """

    items: Sequence[NDArray[np.uint8]]
    """Each (height, width), of any equal height and width."""
    labels: Sequence[str]
    side: int = 64
    """Height and width of a scene."""
    sizes: tuple[int, int] = (16, 28)
    """Least and greatest height and width of an item."""
    most: int = 5
    """Most items of a scene; the fewest are 1."""
    scraps: int = 3
    """Most pieces of items that are no objects."""
    noise: float = 0.05
    """Standard deviation, in shares of white."""
    visible: int = 25

    def __post_init__(self) -> None:
        if len(self.items) != len(self.labels) or not len(self.items):
            raise OptionError(
                f"got {len(self.items)} items and {len(self.labels)} labels; give as many, and one or more."
            )
        if self.sizes[1] > self.side:
            raise OptionError(
                f"items of up to {self.sizes[1]} pixels do not fit into scenes of {self.side}; make the scenes larger."
            )

    def __call__(self, rng: np.random.Generator) -> Scene:
        canvas = np.zeros((self.side, self.side), np.float32)
        for _ in range(rng.integers(0, self.scraps + 1)):
            self._add_scrap(canvas, rng)
        owner = np.full(canvas.shape, -1)
        found: list[tuple[Box, int]] = []
        for number in range(rng.integers(1, self.most + 1)):
            found.append(self._add_item(canvas, owner, number, rng))
        boxes = tuple(
            box
            for number, (box, area) in enumerate(found)
            if (owner == number).sum() > area / 2 and area
        )
        if self.noise:
            canvas += rng.normal(0, 255 * self.noise, canvas.shape).astype(np.float32)
        pixels = np.rint(canvas.clip(0, 255)).astype(np.uint8)
        return Scene(Picture.of(pixels, "a scene"), boxes)

    def _add_scrap(self, canvas: Canvas, rng: np.random.Generator) -> None:
        item = self.items[int(rng.integers(len(self.items)))]
        third = max(1, len(item) // 3)
        scrap = item[third : 2 * third, third : 2 * third] * np.float32(0.6)
        top, left = (int(n) for n in rng.integers(0, self.side - third + 1, 2))
        place = canvas[top : top + third, left : left + third]
        np.maximum(place, scrap, out=place)

    def _add_item(
        self, canvas: Canvas, owner: NDArray[np.int64], number: int, rng: np.random.Generator
    ) -> tuple[Box, int]:
        """Draw an item over the scene and return its box and the number of its pixels."""
        row = int(rng.integers(len(self.items)))
        side = int(rng.integers(self.sizes[0], self.sizes[1] + 1))
        top, left = (int(n) for n in rng.integers(0, self.side - side + 1, 2))
        item = scaled(self.items[row], side)
        shown = item > self.visible
        place = np.s_[top : top + side, left : left + side]
        canvas[place][shown] = item[shown]
        owner[place][shown] = number
        rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
        if not len(rows):
            return Box(self.labels[row], left, top, side, side), 0
        width, height = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
        box = Box(
            self.labels[row],
            float(left + columns[0]),
            float(top + rows[0]),
            float(width),
            float(height),
        )
        return box, int(shown.sum())


def scaled(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return an image of side × side pixels, each the nearest of the given one.

    >>> scaled(np.array([[1, 2], [3, 4]], np.uint8), 4)[0].tolist()
    [1, 1, 2, 2]
    """
    rows, columns = (np.arange(side) * size // side for size in image.shape)
    found: NDArray[np.uint8] = image[rows[:, None], columns]
    return found
