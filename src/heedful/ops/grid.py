"""Positions that stand for the cells of a grid: rows and columns of an image, and frames of a video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import OptionError


@dataclass(frozen=True)
class Grid:
    """A sequence that holds a grid in reading order: frame by frame, row by row, after `prefix` other tokens.

    >>> grid = Grid(rows=2, columns=3, prefix=1)
    >>> grid.length, [axis.tolist() for axis in grid.axes(torch.tensor([1, 5]))]
    (7, [[0, 0], [0, 1], [0, 1]])
    """

    rows: int
    columns: int
    frames: int = 1
    prefix: int = 0
    """Tokens before the first cell, such as a class token."""

    def __post_init__(self) -> None:
        if min(self.rows, self.columns, self.frames) < 1 or self.prefix < 0:
            raise OptionError(
                f"{self} is empty; give 1 row, column and frame or more, and a prefix of 0 or more."
            )

    @property
    def cells(self) -> int:
        """The number of cells."""
        return self.frames * self.rows * self.columns

    @property
    def length(self) -> int:
        """The length of the sequence."""
        return self.prefix + self.cells

    def axes(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return frame, row and column at positions of the sequence; arbitrary at the prefix."""
        cell = index - self.prefix
        row = torch.div(cell, self.columns, rounding_mode="floor")
        frame = torch.div(row, self.rows, rounding_mode="floor")
        return frame, row - frame * self.rows, cell - row * self.columns

    def is_cell(self, index: Tensor) -> Tensor:
        """Return whether positions are cells rather than of the prefix."""
        return index >= self.prefix
