"""Grids: coordinates, positions and masks over two axes, against loops over rows and columns."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, positions, scores
from heedful.errors import MaskError, OptionError, ShapeError
from heedful.ops.cells import Pairs
from heedful.ops.grid import Grid
from heedful.ops.rows import Rows
from tests.ops.compare import assert_same

GRIDS = [
    Grid(3, 4),
    Grid(3, 4, prefix=1),
    Grid(2, 3, frames=2),
    Grid(2, 3, frames=2, prefix=2),
    Grid(1, 5),
]
CPU = torch.device("cpu")
Place = tuple[int, int, int] | None


def places(grid: Grid) -> list[Place]:
    """Frame, row and column of each position; None at the prefix."""
    axes = (range(grid.frames), range(grid.rows), range(grid.columns))
    return [None] * grid.prefix + list(itertools.product(*axes))


def near(one: Place, other: Place, radius: int) -> bool:
    if one is None or other is None:
        return True
    return abs(one[1] - other[1]) <= radius and abs(one[2] - other[2]) <= radius


def same_tile(one: Place, other: Place, size: int, shift: int) -> bool:
    if one is None or other is None:
        return True
    return all(
        (a + shift) // size == (b + shift) // size for a, b in zip(one[1:], other[1:], strict=True)
    )


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_axes_are_frame_row_and_column(grid: Grid) -> None:
    assert grid.length == len(places(grid))
    index = torch.arange(grid.length)
    found = list(zip(*(axis.tolist() for axis in grid.axes(index)), strict=True))
    assert found[grid.prefix :] == places(grid)[grid.prefix :]
    assert grid.is_cell(index).tolist() == [place is not None for place in places(grid)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("radius", [0, 1, 2])
def test_a_window_is_a_square(grid: Grid, radius: int) -> None:
    got = masks.GridWindow(grid, radius).dense(grid.length, grid.length)
    assert got.tolist() == [[near(q, k, radius) for k in places(grid)] for q in places(grid)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize(("size", "shift"), [(1, 0), (2, 0), (2, 1), (3, 2)])
def test_tiles_divide_the_grid(grid: Grid, size: int, shift: int) -> None:
    got = masks.GridTiles(grid, size, shift).dense(grid.length, grid.length)
    assert got.tolist() == [
        [same_tile(q, k, size, shift) for k in places(grid)] for q in places(grid)
    ]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize(
    "mask", [lambda g: masks.GridWindow(g, 1), lambda g: masks.GridTiles(g, 2, 1)]
)
def test_bounds_hold_what_is_kept(grid: Grid, mask: object) -> None:
    value = mask(grid)  # type: ignore[operator]
    rows = Rows.all(grid.length, grid.length, (), CPU)
    kept = value.dense(grid.length, grid.length).nonzero()
    distance = kept[:, 1] - kept[:, 0]
    bounds = value.bounds(rows)
    assert bounds.left is None or -bounds.left <= int(distance.min())
    assert bounds.right is None or bounds.right >= int(distance.max())


@pytest.mark.parametrize(
    "mask", [masks.GridWindow(Grid(5, 6), 1), masks.GridTiles(Grid(5, 6), 3, 1)], ids=str
)
@pytest.mark.parametrize("backend", ["chunked", "sdpa", "band"])
def test_backends_agree_with_the_reference(mask: masks.Mask, backend: str) -> None:
    torch.manual_seed(0)
    given = [torch.randn(2, 3, 30, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def run(name: str) -> tuple[Tensor, ...]:
        output = attend(*given, mask=mask, backend=name).output
        return (output, *torch.autograd.grad(output.square().sum(), given))

    for got, expected in zip(run(backend), run("reference"), strict=True):
        assert_same(got, expected)


def test_a_window_listed_as_edges_is_the_same() -> None:
    torch.manual_seed(0)
    mask = masks.GridWindow(Grid(5, 6), 1)
    query, key = mask.dense(30, 30).nonzero(as_tuple=True)
    edges = masks.Edges(torch.stack([key, query]), 30, 30)
    x = torch.randn(2, 3, 30, 4, dtype=torch.float64)
    assert_same(
        attend(x, x, x, mask=edges).output, attend(x, x, x, mask=mask, backend="reference").output
    )


def test_sizes_that_make_no_sense_are_refused() -> None:
    grid = Grid(2, 2)
    for make, message in (
        (lambda: Grid(0, 2), "is empty; give 1 row"),
        (lambda: Grid(1, 2, prefix=-1), "a prefix of 0 or more"),
        (
            lambda: masks.GridWindow(grid, -1),
            r"GridWindow\(radius\) is -1; give a whole number, 0 or more",
        ),
        (
            lambda: masks.GridTiles(grid, 0),
            r"GridTiles\(size\) is 0; give a whole number, 1 or more",
        ),
        (lambda: masks.GridTiles(grid, 2, -1), r"GridTiles\(shift\) is -1"),
        (lambda: masks.GridTiles(grid, 2, 2), "tiles of 2 cells are shifted by 0 to 1"),
    ):
        with pytest.raises(OptionError, match=message):
            make()
    x = torch.randn(1, 5, 4)
    for mask in (masks.GridWindow(grid, 1), masks.GridTiles(grid, 1)):
        with pytest.raises(MaskError, match="5 queries and 5 keys meet a Grid.* of 4 positions"):
            attend(x, x, x, mask=mask)
    for bias in (
        positions.GridALiBi(grid, torch.ones(1)),
        positions.GridRelative(grid, torch.ones(1, 12)),
    ):
        with pytest.raises(ShapeError, match="meet a bias of 4 positions"):
            attend(x, x, x, bias=bias)
    with pytest.raises(
        ShapeError, match=r"table has shape \(1, 11\); for Grid.* give \(heads, 12\)"
    ):
        positions.GridRelative(grid, torch.ones(1, 11))
    with pytest.raises(ShapeError, match="come in pairs"):
        positions.grid_sinusoidal(grid, 5)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_relative_bias_has_a_number_for_each_offset(grid: Grid) -> None:
    size = positions.GridRelative.size(grid)
    table = torch.arange(2.0 * size).view(2, size)
    bias = positions.GridRelative(grid, table)
    tile = bias.tile(Rows.all(grid.length, grid.length, (2,), CPU))
    assert tile.shape == (2, grid.length, grid.length)
    numbers: dict[object, float] = {}
    for q, one in enumerate(places(grid)):
        for k, other in enumerate(places(grid)):
            if one is None or other is None:
                offset: object = (one is None, other is None)
            else:
                offset = tuple(b - a for a, b in zip(one, other, strict=True))
            number = float(tile[0, q, k])
            assert numbers.setdefault(offset, number) == number
            assert float(tile[1, q, k]) == number + size
    assert len(set(numbers.values())) == len(numbers)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_alibi_goes_by_the_distance(grid: Grid) -> None:
    tile = positions.GridALiBi(grid, torch.tensor([0.5])).tile(
        Rows.all(grid.length, grid.length, (1,), CPU)
    )
    for q, one in enumerate(places(grid)):
        for k, other in enumerate(places(grid)):
            distance = 0.0 if one is None or other is None else math.dist(one, other)
            assert float(tile[q, k]) == pytest.approx(-0.5 * distance)


@pytest.mark.parametrize("bias", ["alibi", "relative"])
def test_biases_are_the_same_cell_by_cell(bias: str) -> None:
    grid = Grid(2, 3, prefix=1)
    value = (
        positions.GridALiBi(grid, torch.tensor([0.5, 2.0]))
        if bias == "alibi"
        else positions.GridRelative(grid, torch.randn(2, positions.GridRelative.size(grid)))
    )
    whole = value.tile(Rows.all(7, 7, (2,), CPU))
    query, key = torch.arange(7)[:, None], torch.arange(7)[None]
    assert_same(value.at(Pairs(query, key, 7, 7, (2,))), whole)


@pytest.mark.parametrize("bias", ["alibi", "relative"])
@pytest.mark.parametrize("backend", ["chunked", "sdpa", "band"])
def test_backends_agree_on_biases(bias: str, backend: str) -> None:
    torch.manual_seed(0)
    grid = Grid(4, 5, prefix=0 if backend == "band" else 1)
    mask = masks.GridWindow(grid, 1) if backend == "band" else None
    table = torch.randn(
        3, positions.GridRelative.size(grid), dtype=torch.float64, requires_grad=True
    )
    shape = (2, 3, grid.length, 4)
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    if bias == "relative":
        given.append(table)
    value = (
        positions.GridALiBi(grid, torch.rand(3, dtype=torch.float64))
        if bias == "alibi"
        else positions.GridRelative(grid, table)
    )

    def run(name: str) -> tuple[Tensor, ...]:
        output = attend(*given[:3], bias=value, mask=mask, backend=name).output
        return (output, *torch.autograd.grad(output.square().sum(), given))

    for got, expected in zip(run(backend), run("reference"), strict=True):
        assert_same(got, expected)


@pytest.mark.parametrize("layout", ["interleaved", "half"])
@pytest.mark.parametrize("features", [4, 8, 10])
def test_rotary_scores_depend_on_offsets_alone(layout: Any, features: int) -> None:
    torch.manual_seed(0)
    grid = Grid(4, 5)
    rotary = positions.GridRotary(features, layout=layout, grid=grid)
    query, key = (torch.randn(features, dtype=torch.float64).expand(20, features) for _ in range(2))
    products = rotary.rotate(query) @ rotary.rotate(key).T
    numbers: dict[tuple[int, int], float] = {}
    for q, k in itertools.product(range(20), range(20)):
        offset = (k // 5 - q // 5, k % 5 - q % 5)
        assert float(products[q, k]) == pytest.approx(
            numbers.setdefault(offset, float(products[q, k]))
        )
    assert len({round(number, 9) for number in numbers.values()}) == len(numbers)


def test_rotary_leaves_the_prefix_and_turns_frames() -> None:
    torch.manual_seed(0)
    grid = Grid(2, 2, frames=3, prefix=2)
    x = torch.randn(14, 6, dtype=torch.float64)
    turned = positions.GridRotary(6, grid=grid).rotate(x)
    assert torch.equal(turned[:2], x[:2])
    assert_same(turned.norm(dim=-1), x.norm(dim=-1))
    # The first pair turns with the frame, the second with the row, the third with the column.
    angle = (
        torch.view_as_complex(turned.view(14, 3, 2)) / torch.view_as_complex(x.view(14, 3, 2))
    ).angle()
    expected = torch.tensor(places(grid)[2:], dtype=torch.float64)
    assert_same(angle[2:], expected)


def test_rotary_in_attend_is_the_rotation_of_queries_and_keys() -> None:
    torch.manual_seed(0)
    rotary = positions.GridRotary(8, grid=Grid(3, 3))
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    turned = rotary.rotate(x)
    got = attend(x, x, x, score=scores.Rotated(scores.ScaledDot(), rotary)).output
    assert_same(got, attend(turned, turned, x).output)
    other = positions.GridRotary(8, grid=Grid(3, 4))
    assert (
        scores.Rotated(scores.Dot(), rotary).key_kind
        != scores.Rotated(scores.Dot(), other).key_kind
    )


def test_sinusoidal_positions_are_those_of_row_and_column_side_by_side() -> None:
    table = positions.grid_sinusoidal(Grid(3, 4, prefix=1), 8, dtype=torch.float64)
    rows = positions.sinusoidal(3, 4, base=100.0, dtype=torch.float64)
    columns = positions.sinusoidal(4, 4, base=100.0, dtype=torch.float64)
    assert not table[0].any()
    for cell, (row, column) in enumerate(itertools.product(range(3), range(4))):
        assert_same(table[1 + cell], torch.cat([rows[row], columns[column]]))
