"""Patches and stems as features, and encoders over the grid of an image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.errors import OptionError, ShapeError
from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS, Encoder, build_encoder
from heedful.models.encoders.patches import (
    ConvolutionStem,
    PatchBatch,
    PatchesConfig,
    PatchFeatures,
    grid_of,
)
from heedful.nn import POSITIONS
from heedful.ops.grid import Grid
from tests.models.test_encoders import SMALL

GRID = Grid(5, 6)
READS_GRID = [kind for kind, encoder in ENCODERS.items() if getattr(encoder, "reads_grid", False)]


def batch(frames: int = 1, channels: int = 3, rows: int = 2) -> PatchBatch:
    draw = torch.Generator().manual_seed(0)
    shape = (rows, frames, 8, 12, channels)
    return PatchBatch(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw),
        torch.full((rows,), 6 * frames),
    )


def features(frames: int = 1, channels: int = 3, **options: Any) -> PatchFeatures:
    torch.manual_seed(0)
    mean, scale = torch.arange(1.0, channels + 1), torch.arange(5.0, channels + 5)
    return PatchFeatures(PatchesConfig(**options), (frames, 8, 12, channels), 4, mean, scale)


def standardized(given: PatchBatch) -> Tensor:
    channels = given.pixels.shape[-1]
    mean, scale = torch.arange(1.0, channels + 1), torch.arange(5.0, channels + 5)
    return (given.pixels.float() - mean) / scale


def test_without_a_map_features_are_the_standardised_pixels() -> None:
    given, module = batch(), features()
    got, pixels = module(given), standardized(given)
    assert module.width == 4 * 4 * 3
    assert module.grid == Grid(2, 3)
    for cell in range(6):
        row, column = 4 * (cell // 3), 4 * (cell % 3)
        expected = pixels[:, 0, row : row + 4, column : column + 4].flatten(1)
        assert torch.equal(got[:, cell], expected)


def test_a_learned_map_is_a_convolution_of_the_size_of_a_patch() -> None:
    given, module = batch(), features(width=7)
    weight = module.stem.map.weight.view(7, 4, 4, 3).permute(0, 3, 1, 2)  # type: ignore[union-attr, operator]
    expected = F.conv2d(standardized(given)[:, 0].permute(0, 3, 1, 2), weight, stride=4)
    torch.testing.assert_close(module(given), expected.flatten(2).transpose(1, 2))


def test_a_stem_of_convolutions_is_that_of_torch() -> None:
    given, module = batch(), features(stem="convolution", width=16)
    assert isinstance(module.stem, ConvolutionStem)
    assert [tuple(layer.weight.shape[:2]) for layer in module.stem.layers] == [(8, 3), (16, 8)]  # type: ignore[union-attr]
    states = standardized(given)[:, 0].permute(0, 3, 1, 2).contiguous()
    for layer in module.stem.layers:
        states = F.max_pool2d(F.relu(layer(states)), 2)
    torch.testing.assert_close(module(given), states.flatten(2).transpose(1, 2))


def test_a_patch_of_one_pixel_has_one_convolution_and_no_pooling() -> None:
    stem = ConvolutionStem(1, 16, 1)
    assert stem(torch.zeros(2, 3, 5, 1)).shape == (2, 15, 16)
    assert len(stem.layers) == 1


def test_frames_follow_each_other() -> None:
    given, module = batch(frames=3), features(frames=3)
    got = module(given)
    assert module.grid == Grid(2, 3, frames=3)
    for frame in range(3):
        alone = PatchBatch(given.pixels[:, frame : frame + 1], torch.tensor([6, 6]))
        assert torch.equal(got[:, 6 * frame : 6 * frame + 6], features()(alone))


def test_the_class_token_stands_first_and_learns() -> None:
    given, module = batch(), features(class_token=True, width=5)
    got = module(given)
    assert got.shape == (2, 7, 5)
    assert module.class_token is not None
    assert torch.equal(got[0, 0], module.class_token)
    got[:, 0].sum().backward()
    assert module.class_token.grad is not None


def test_statistics_are_no_weights() -> None:
    assert not [name for name in features().state_dict() if name in ("mean", "scale")]


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        OptionError,
        match=r"patch is 3, which does not divide the images of 8 × 12.*1, 2, 4, as in --patch 2",
    ):
        grid_of((1, 8, 12), 3)
    with pytest.raises(OptionError, match="stem of convolutions halves height and width"):
        ConvolutionStem(1, 8, 6)


def encoder(kind: str, grid: Grid | None = GRID, **options: Any) -> Encoder:
    torch.manual_seed(0)
    return build_encoder(ENCODER_CONFIGS[kind](**{**SMALL[kind], **options}), 4, grid).eval()


def inputs(length: int = GRID.length) -> Tensor:
    return torch.randn(2, length, 4, generator=torch.Generator().manual_seed(1))


LENGTHS = torch.tensor([GRID.length] * 2)


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_reads_cells(kind: str) -> None:
    values, _, _ = encoder(kind).train()(inputs(), LENGTHS)
    assert values.shape[:2] == (2, GRID.length)
    values.square().sum().backward()


@pytest.mark.parametrize("kind", READS_GRID)
def test_a_batch_equals_a_loop_over_a_grid(kind: str) -> None:
    model = encoder(kind)
    values = model(inputs(), LENGTHS).values
    for row in range(2):
        alone = model(inputs()[row : row + 1], LENGTHS[:1]).values[0]
        torch.testing.assert_close(values[row], alone)


@pytest.mark.parametrize("kind", READS_GRID)
def test_a_sequence_of_another_length_is_refused(kind: str) -> None:
    for length, lengths in ((29, [29, 29]), (30, [30, 29])):
        message = rf"inputs have {length} positions and lengths .*; expected 30, those of Grid"
        with pytest.raises(ShapeError, match=message):
            encoder(kind)(inputs(length), torch.tensor(lengths))


def reach(model: Encoder, row: int, column: int) -> set[tuple[int, int]]:
    """The cells that the state of a cell answers to."""
    given = inputs()[:1].requires_grad_()
    state = model(given, LENGTHS[:1]).values[0, row * GRID.columns + column]
    (gradient,) = torch.autograd.grad(state.square().sum(), given)
    return {
        divmod(cell, GRID.columns)
        for cell in gradient[0].abs().sum(-1).nonzero().flatten().tolist()
    }


def square(row: int, column: int, radius: int) -> set[tuple[int, int]]:
    return {
        (r, c)
        for r in range(GRID.rows)
        for c in range(GRID.columns)
        if abs(r - row) <= radius and abs(c - column) <= radius
    }


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 3), (4, 5)])
@pytest.mark.parametrize(
    ("kind", "options", "radius"),
    [
        ("convolution", {"layers": 1, "hidden": 32}, 1),
        ("convolution", {"layers": 2, "hidden": 32}, 2),
        ("transformer", {"mask": "window", "window": 1, "layers": 1}, 1),
        ("transformer", {"mask": "window", "window": 1, "layers": 2}, 2),
        ("attention", {"mask": "window", "window": 2, "layers": 1}, 2),
        ("transformer", {}, 9),
        ("convolution+attention", {}, 9),
    ],
)
def test_how_far_a_cell_sees(
    kind: str, options: dict[str, Any], radius: int, row: int, column: int
) -> None:
    assert reach(encoder(kind, **options), row, column) == square(row, column, radius)


@pytest.mark.parametrize("kind", ["transformer", "attention"])
def test_tiles_are_shifted_in_every_other_layer(kind: str) -> None:
    one = encoder(kind, mask="tiles", window=2, layers=1)
    assert reach(one, 0, 0) == {(r, c) for r in (0, 1) for c in (0, 1)}
    two = encoder(kind, mask="tiles", window=2, layers=2)
    # The second layer sees the tile of rows and columns 1 and 2, whose cells saw the tiles they are in.
    assert reach(two, 1, 1) == {(r, c) for r in range(4) for c in range(4)}


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", ["transformer", "attention"])
def test_cells_are_told_apart_by_row_and_column(kind: str, positions: str) -> None:
    model = encoder(kind, positions=positions, layers=1)
    given = inputs()[:1]
    swapped = given.view(1, 5, 6, 4).flip(1).flatten(1, 2)
    values, others = model(given, LENGTHS[:1]).values, model(swapped, LENGTHS[:1]).values
    same = torch.allclose(values, others.view(1, 5, 6, -1).flip(1).flatten(1, 2), atol=1e-5)
    # Flipped upside down the distances between cells stay, which is all that ALiBi knows.
    assert same == (positions in ("none", "alibi"))


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_class_token_is_refused_where_nothing_reads_it(kind: str) -> None:
    if kind in ("transformer", "attention", "lstm+attention", "gat", "gatv2", "graph-transformer"):
        values = encoder(kind, Grid(5, 6, prefix=1))(inputs(31), torch.tensor([31, 31])).values
        assert values.shape[1] == 31
    else:
        with pytest.raises(
            OptionError, match=r"inputs\.class_token: .*(do not read|has no attention to read)"
        ):
            encoder(kind, Grid(5, 6, prefix=1))


@pytest.mark.parametrize("kind", ["transformer", "attention"])
def test_tiles_want_an_image(kind: str) -> None:
    with pytest.raises(OptionError, match="tiles, which only the cells of images have"):
        encoder(kind, None, mask="tiles")
    with pytest.raises(OptionError, match=r"encoder\.window is 0; tiles have 1 row"):
        encoder(kind, mask="tiles", window=0)


def test_convolutions_over_frames_do_not_mix_them() -> None:
    grid = Grid(2, 3, frames=2)
    model = encoder("convolution", grid)
    given = inputs(12)
    whole = model(given, torch.tensor([12, 12])).values
    alone = encoder("convolution", Grid(2, 3))(given[:, :6], torch.tensor([6, 6])).values
    torch.testing.assert_close(whole[:, :6], alone)
