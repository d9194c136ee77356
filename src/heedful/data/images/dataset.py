"""Datasets of images, each with an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from heedful.data.dataset import Dataset
from heedful.data.images.picture import Picture
from heedful.errors import DataError


@dataclass(frozen=True, eq=False)
class Image:
    """A picture with its answer and where it was read."""

    picture: Picture
    answer: tuple[str, ...] = ()
    """One label, several labels, numbers as text, or a label per cell in reading order; empty if there is none."""
    path: Path | None = None
    line: int | None = None

    def error(self, message: str) -> DataError:
        """Return an error about this image, with its file and line."""
        return DataError(message, path=self.path, line=self.line)


@dataclass(frozen=True)
class Images(Dataset):
    """The images of one or several folders and files, in order."""

    images: Sequence[Image]
    name: str = "images"
    skipped: Sequence[str] = ()
    example: ClassVar[str] = "image"
    has_any_length: ClassVar[bool] = False

    @property
    def inputs(self) -> list[Picture]:
        """The pictures."""
        return [each.picture for each in self.images]

    @property
    def answers(self) -> list[tuple[str, ...]]:
        """The answer of each image."""
        return [each.answer for each in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Sequence[int]) -> Images:
        return Images([self.images[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return [each.digest() for each in self.inputs], ["\n".join(a) for a in self.answers]

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def input_of_length(self, length: int) -> Picture:
        """Return the first image, whatever the length: a model brings all to one size."""
        return self.inputs[0]

    def showcase(self, count: int) -> list[Any]:
        """Return images of different answers first."""
        seen: dict[tuple[str, ...], int] = {}
        rank = []
        for row, answer in enumerate(self.answers):
            rank.append((seen.get(answer, 0), row))
            seen[answer] = seen.get(answer, 0) + 1
        return [self.inputs[row] for _, row in sorted(rank)[:count]]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.images[row].error(message)
