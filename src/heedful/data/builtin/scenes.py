"""The corpus `scenes`: drawn shapes at random places and sizes, as objects with their boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from heedful.data.builtin.corpus import BuiltinCorpus
from heedful.data.images.compose import SceneMaker
from heedful.data.images.objects import Scene, Scenes

SIDE: Final = 28
SHAPES: Final = ("disc", "square", "triangle", "cross")

DESCRIPTION: Final = (
    "Grey scenes of 48 × 48 pixels with one to three shapes, discs, squares, triangles and crosses of 12 to 24 pixels, "
    "over one another, with noise. Every epoch of training sees fresh scenes."
)


def shape(name: str) -> NDArray[np.uint8]:
    """Draw a shape that fills 28 × 28 pixels.

    >>> shape("cross")[0, [0, 14]].tolist()
    [0, 200]
    """
    rows, columns = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    inside = {
        "disc": (rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.25,
        "square": np.full(rows.shape, True),
        "triangle": 2 * abs(columns - 0.5) < rows,
        "cross": (abs(rows - 0.5) < 0.15) | (abs(columns - 0.5) < 0.15),
    }[name]
    return np.where(inside, 200, 0).astype(np.uint8)


@dataclass(frozen=True)
class SceneCorpus(BuiltinCorpus[tuple[Scene, ...]]):
    """Generated scenes, and what makes more of them."""

    maker: SceneMaker

    def scenes(self, part: Literal["train", "valid", "test"]) -> Scenes:
        """Return one part; that for training is without end."""
        maker = self.maker if part == "train" else None
        return Scenes(self.part(part), f"builtin:scenes, {part}", (), maker)


def build(
    seed: int = 0, *, train_size: int = 2000, valid_size: int = 200, test_size: int = 300
) -> SceneCorpus:
    """Generate the corpus, deterministically.

    >>> corpus = build(train_size=1, valid_size=1, test_size=1)
    >>> [box.label for box in corpus.scenes("train").answers[0]]
    ['triangle', 'disc', 'cross']
    """
    rng = np.random.default_rng(seed)
    maker = SceneMaker(
        [shape(name) for name in SHAPES], SHAPES, side=48, sizes=(12, 24), most=3, scraps=0
    )
    train, valid, test = (
        tuple(maker(rng) for _ in range(size)) for size in (train_size, valid_size, test_size)
    )
    return SceneCorpus(train, valid, test, DESCRIPTION, maker)
