"""Masks over the two axes of an image: a square around the query, and tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from heedful.errors import MaskError, OptionError
from heedful.ops.cells import Cells
from heedful.ops.grid import Grid
from heedful.ops.masks.base import Mask
from heedful.ops.masks.bounds import UNBOUNDED, Bounds
from heedful.ops.rows import Rows


def _check_size(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise OptionError(f"{name} is {value!r}; give a whole number, {least} or more.")


def _check_grid(mask: Mask, grid: Grid, rows: Rows) -> None:
    if max(rows.num_queries, rows.num_keys) > grid.length:
        raise MaskError(
            f"{rows.num_queries} queries and {rows.num_keys} keys meet a {type(mask).__name__} of {grid.length} "
            f"positions, of {grid}; make it of the grid of the inputs."
        )


@dataclass(frozen=True)
class GridWindow(Mask):
    """A query attends to the keys at most `radius` rows and `radius` columns away, in all frames.

    The prefix of the grid attends to everything, and everything to it.

    Raises:
        OptionError: a radius below 0.
        MaskError: more positions than the grid has. Raised by `attend`.

    >>> GridWindow(Grid(rows=2, columns=3), radius=1).dense(1, 6).int().tolist()
    [[1, 1, 0, 1, 1, 0]]
    """

    grid: Grid
    radius: int
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_size("GridWindow(radius)", self.radius, 0)

    def check(self, rows: Rows) -> None:
        _check_grid(self, self.grid, rows)

    def at(self, cells: Cells) -> Tensor:
        query, key = cells.query_index(), cells.key_index()
        _, row, column = self.grid.axes(query)
        _, other_row, other_column = self.grid.axes(key)
        near = ((row - other_row).abs() <= self.radius) & (
            (column - other_column).abs() <= self.radius
        )
        return near | ~(self.grid.is_cell(query) & self.grid.is_cell(key))

    def bounds(self, rows: Rows) -> Bounds:
        if self.grid.prefix or self.grid.frames > 1:
            return UNBOUNDED
        side = self.radius * self.grid.columns + self.radius
        return Bounds(side, side)


@dataclass(frozen=True)
class GridTiles(Mask):
    """A query attends to the keys of its own tile of `size` × `size` cells, in all frames (Swin, Liu et al. 2021,
    https://arxiv.org/abs/2103.14030).

    `shift` moves the borders of the tiles up and left by so many cells; tiles at the border of the image are smaller,
    and do not reach around it. The prefix of the grid attends to everything, and everything to it.

    Raises:
        OptionError: a size below 1, or a shift below 0 or not below the size.
        MaskError: more positions than the grid has. Raised by `attend`.

    >>> GridTiles(Grid(rows=1, columns=4), 2).dense(4, 4).int().tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    >>> GridTiles(Grid(rows=1, columns=4), 2, shift=1).dense(4, 4).int().tolist()
    [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    """

    grid: Grid
    size: int
    shift: int = 0
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_size("GridTiles(size)", self.size, 1)
        _check_size("GridTiles(shift)", self.shift, 0)
        if self.shift >= self.size:
            raise OptionError(
                f"GridTiles(shift) is {self.shift}; tiles of {self.size} cells are shifted by 0 to {self.size - 1}."
            )

    def check(self, rows: Rows) -> None:
        _check_grid(self, self.grid, rows)

    def at(self, cells: Cells) -> Tensor:
        query, key = cells.query_index(), cells.key_index()
        row, column = self._tile(query)
        other_row, other_column = self._tile(key)
        same = (row == other_row) & (column == other_column)
        return same | ~(self.grid.is_cell(query) & self.grid.is_cell(key))

    def _tile(self, index: Tensor) -> tuple[Tensor, Tensor]:
        _, row, column = self.grid.axes(index)
        return (row + self.shift) // self.size, (column + self.shift) // self.size

    def bounds(self, rows: Rows) -> Bounds:
        if self.grid.prefix or self.grid.frames > 1:
            return UNBOUNDED
        side = (self.size - 1) * (self.grid.columns + 1)
        return Bounds(side, side)
