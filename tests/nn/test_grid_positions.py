"""Position modules of grids, and the builders that choose them."""

from __future__ import annotations

import pytest
import torch

from heedful import nn as hnn
from heedful.errors import ShapeError
from heedful.nn.positions import build_bias, build_input_positions, build_rotary
from heedful.ops.grid import Grid
from heedful.ops.positions import GridRotary, grid_sinusoidal

GRID = Grid(2, 3, prefix=1)


def test_sinusoidal_positions_are_added() -> None:
    positions = hnn.GridSinusoidalPositions(GRID, 8)
    x = torch.randn(2, 7, 8)
    assert torch.equal(positions(x), x + grid_sinusoidal(GRID, 8))
    assert torch.equal(positions(x[:, 3:], start=3), positions(x)[:, 3:])
    assert not positions.state_dict()
    with pytest.raises(ShapeError, match=r"positions 0 to 7 were asked for; Grid\(.*\) has 7"):
        positions(torch.randn(2, 8, 8))


@pytest.mark.parametrize("name", hnn.POSITIONS)
def test_a_scheme_stands_in_the_same_place_with_and_without_a_grid(name: str) -> None:
    plain, over_grid = ({"grid": grid} for grid in (None, GRID))
    for one, other in (
        (
            build_input_positions(name, 8, max_length=9, **plain),
            build_input_positions(name, 8, max_length=9, **over_grid),
        ),
        (build_rotary(name, 8, **plain), build_rotary(name, 8, **over_grid)),
        (
            build_bias(name, 4, bidirectional=True, **plain),
            build_bias(name, 4, bidirectional=True, **over_grid),
        ),
    ):
        assert (one is None) == (other is None)


def test_the_builders_use_the_grid() -> None:
    learned = build_input_positions("learned", 8, max_length=512, grid=GRID)
    assert isinstance(learned, hnn.LearnedPositions)
    assert learned.weight.shape == (7, 8)
    assert build_rotary("rotary", 8, grid=GRID) == GridRotary(8, grid=GRID)
    relative = build_bias("relative", 4, bidirectional=True, grid=GRID)
    assert isinstance(relative, hnn.GridRelativePositions)
    assert relative.table.shape == (4, 3 * 5 + 3)
    alibi = build_bias("alibi", 4, bidirectional=True, grid=GRID)
    assert isinstance(alibi, hnn.GridALiBiPositions)
    assert torch.equal(alibi().slopes, hnn.ALiBiPositions(4)().slopes)
