"""Modules for positions in a grid: in the input, or as a bias on the scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError
from heedful.nn.position_base import BiasPositions, InputPositions
from heedful.ops.grid import Grid
from heedful.ops.positions import ALiBi, GridALiBi, GridRelative, grid_sinusoidal


class GridSinusoidalPositions(InputPositions):
    """Sinusoidal positions of the cells of a grid, see `grid_sinusoidal`.

    Args:
        grid: the grid of the inputs.
        embed_dim: features of a position; even.
        how: "add" or "concat".

    Raises:
        OptionError: unknown `how`.
        ShapeError: odd `embed_dim`, or positions beyond the grid.

    >>> GridSinusoidalPositions(Grid(2, 3), 8)(torch.zeros(5, 6, 8)).shape
    torch.Size([5, 6, 8])
    """

    def __init__(self, grid: Grid, embed_dim: int, *, how: str = "add"):
        super().__init__(embed_dim, how=how)
        self.grid = grid
        values = grid_sinusoidal(grid, embed_dim)
        self.register_buffer("values", values, persistent=False)

    values: Tensor

    def table(self, length: int, start: int, like: Tensor) -> Tensor:
        if start < 0 or start + length > self.grid.length:
            raise ShapeError(
                f"positions {start} to {start + length - 1} were asked for; {self.grid} has {self.grid.length}."
            )
        return self.values[start : start + length].to(like.dtype)


class GridALiBiPositions(BiasPositions):
    """ALiBi by the distance in a grid, with a fixed slope per head, see `GridALiBi`.

    >>> GridALiBiPositions(Grid(2, 2), num_heads=2)().slopes
    tensor([0.0625, 0.0039])
    """

    slopes: Tensor

    def __init__(self, grid: Grid, num_heads: int):
        super().__init__()
        self.grid = grid
        self.register_buffer("slopes", ALiBi.for_heads(num_heads).slopes, persistent=False)

    def forward(self, start: int = 0) -> GridALiBi:
        return GridALiBi(self.grid, self.slopes)


class GridRelativePositions(BiasPositions):
    """A learned bias for each head and offset in a grid, see `GridRelative`.

    >>> GridRelativePositions(Grid(2, 3), num_heads=4)().table.shape
    torch.Size([4, 18])
    """

    def __init__(self, grid: Grid, num_heads: int):
        super().__init__()
        self.grid = grid
        self.table = nn.Parameter(torch.empty(num_heads, GridRelative.size(grid)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the table with small values: training starts almost without positions."""
        nn.init.normal_(self.table, std=0.02)

    def forward(self, start: int = 0) -> GridRelative:
        return GridRelative(self.grid, self.table)
