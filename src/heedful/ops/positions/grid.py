"""Positions in a grid: sinusoidal and rotary over rows and columns, and biases by distance or by offset."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.ops.cells import Cells
from heedful.ops.grid import Grid
from heedful.ops.positions.biases import PositionBias
from heedful.ops.positions.rotary import Rotary
from heedful.ops.positions.sinusoidal import frequencies
from heedful.ops.rows import Rows

BASE = 100.0
"""Base of the frequencies: a grid has tens of rows, where a text has thousands of positions."""


def axis_angles(grid: Grid, position: Tensor, pairs: int, base: float) -> Tensor:
    r"""Angles t·ω_i of the coordinates of positions, the axes side by side: (…) -> (…, pairs), in float64.

    ω_i = base^(−i/n) for the n pairs of an axis. The pairs are divided among row and column, and among frame, row and
    column of a video, as evenly as they can; the last axis gets the least. At the prefix of the grid all angles are 0.
    """
    coordinates = grid.axes(position)[0 if grid.frames > 1 else 1 :]
    inside = grid.is_cell(position)
    parts = []
    for number, coordinate in enumerate(coordinates):
        share = (pairs + len(coordinates) - 1 - number) // len(coordinates)
        if share:
            rates = frequencies(2 * share, base, position.device)
            parts.append(torch.where(inside, coordinate, 0).double()[..., None] * rates)
    return torch.cat(parts, dim=-1)


def grid_sinusoidal(
    grid: Grid,
    features: int,
    *,
    base: float = BASE,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Sinusoidal positions of a grid: half of the features hold the row, half the column.

    p[t, 2i] = sin(a_i), p[t, 2i+1] = cos(a_i) with the angles of `axis_angles`; zeros at the prefix. The result is
    (grid.length, features).

    Raises:
        ShapeError: `features` is odd or below 2.

    >>> grid_sinusoidal(Grid(2, 1), 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0000, 1.0000]])
    """
    frequencies(features, base, device)  # raises for an odd number
    position = torch.arange(grid.length, device=device)
    angle = axis_angles(grid, position, features // 2, base)
    table = torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)
    return (table * grid.is_cell(position)[:, None]).to(dtype)


@dataclass(frozen=True)
class GridRotary(Rotary):
    r"""Rotary positions over the axes of a grid: half of the pairs of features turn with the row, half with the column.

    Inner products then depend on the difference of rows and that of columns alone (axial rotary positions, Heo et al.
    2024, https://arxiv.org/abs/2403.13298). The prefix of the grid is not turned. Positions count along the sequence.

    Raises:
        ShapeError: `features` is odd or below 2.
        OptionError: an unknown layout.

    >>> rotary = GridRotary(4, grid=Grid(2, 3))
    >>> x = torch.ones(6, 4)
    >>> turned = rotary.rotate(x)
    >>> torch.equal(turned[1, :2], x[1, :2]), torch.equal(turned[1, 2:], turned[4, 2:])
    (True, True)
    """

    base: float = BASE
    grid: Grid = field(kw_only=True)

    def angles(self, position: Tensor) -> Tensor:
        return axis_angles(self.grid, position.long(), self.features // 2, self.base)

    @property
    def description(self) -> str:
        return f"{super().description} over {self.grid}"


@dataclass(frozen=True, eq=False)
class _GridBias(PositionBias):
    """A bias by the coordinates of query and key, which both count along the sequence of a grid."""

    grid: Grid

    def check(self, rows: Rows) -> None:
        super().check(rows)
        if max(rows.num_queries, rows.num_keys) > self.grid.length:
            raise ShapeError(
                f"{rows.num_queries} queries and {rows.num_keys} keys meet a bias of {self.grid.length} positions, of "
                f"{self.grid}; make it of the grid of the inputs."
            )

    def offsets(self, cells: Cells) -> tuple[Tensor, ...]:
        """Frame, row and column of the key minus those of the query."""
        query, key = self.grid.axes(cells.query_index()), self.grid.axes(cells.key_index())
        return tuple(k - q for q, k in zip(query, key, strict=True))

    @property
    def follows_distance(self) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class GridALiBi(_GridBias):
    r"""−slope_h · √(Δframe² + Δrow² + Δcolumn²): ALiBi by the distance in the grid; 0 from and to the prefix.

    `slopes` is (heads,), see `ALiBi.for_heads`.

    >>> bias = GridALiBi(grid=Grid(2, 2), slopes=torch.tensor([1.0]))
    >>> bias.tile(Rows.all(1, 4, (1,), torch.device("cpu")))
    tensor([[-0.0000, -1.0000, -1.0000, -1.4142]])
    """

    slopes: Tensor
    query_start: int = 0

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.slopes,)

    def at(self, cells: Cells) -> Tensor:
        slopes = self.slopes[cells.head_index(len(self.slopes))]
        slopes = slopes.to(torch.promote_types(slopes.dtype, torch.float32))
        frame, row, column = self.offsets(cells)
        distance = (frame.square() + row.square() + column.square()).to(slopes.dtype).sqrt()
        inside = self.grid.is_cell(cells.query_index()) & self.grid.is_cell(cells.key_index())
        return -slopes * torch.where(inside, distance, 0.0)


@dataclass(frozen=True, eq=False)
class GridRelative(_GridBias):
    r"""A learned number for each offset in the grid: b[h, Δframe, Δrow, Δcolumn] (Liu et al. 2021, Swin,
    https://arxiv.org/abs/2103.14030).

    `table` is (heads, `GridRelative.size(grid)`). Its last three numbers are for a query in the prefix, a key in the
    prefix, and both (Bao et al. 2022, BEiT, https://arxiv.org/abs/2106.08254).

    Raises:
        ShapeError: `table` has another shape.

    >>> grid = Grid(1, 2)
    >>> bias = GridRelative(grid=grid, table=torch.arange(6.0)[None])
    >>> bias.tile(Rows.all(2, 2, (1,), torch.device("cpu"))).tolist()
    [[1.0, 2.0], [0.0, 1.0]]
    """

    table: Tensor
    query_start: int = 0

    def __post_init__(self) -> None:
        size = self.size(self.grid)
        if self.table.ndim != 2 or self.table.shape[1] != size:
            raise ShapeError(
                f"table has shape {tuple(self.table.shape)}; for {self.grid} give (heads, {size})."
            )

    @staticmethod
    def size(grid: Grid) -> int:
        """The numbers of a head: one an offset, and three for the prefix."""
        return (2 * grid.frames - 1) * (2 * grid.rows - 1) * (2 * grid.columns - 1) + 3

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.table,)

    def at(self, cells: Cells) -> Tensor:
        grid = self.grid
        frame, row, column = self.offsets(cells)
        index = (frame + grid.frames - 1) * (2 * grid.rows - 1) + row + grid.rows - 1
        index = index * (2 * grid.columns - 1) + column + grid.columns - 1
        query, key = grid.is_cell(cells.query_index()), grid.is_cell(cells.key_index())
        last = self.table.shape[1]
        index = torch.where(query, index, last - 3)
        index = torch.where(key, index, last - 2)
        index = torch.where(query | key, index, last - 1)
        return self.table[cells.head_index(len(self.table)), index]
