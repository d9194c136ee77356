"""Random changes of images: what they do, and that they depend on seed, epoch and example alone."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.data.images.augment import ERASED, erase, flip, shift, uniforms


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (count, 2, 10, 8, 3)).astype(np.uint8)


def test_numbers_are_uniform_and_independent() -> None:
    drawn = uniforms(0, 0, range(20_000), 4)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for column in drawn.T:
        counts = np.histogram(column, 20, (0, 1))[0]
        # chi-squared with 19 degrees of freedom exceeds 51 once in ten thousand times
        assert ((counts - 1000) ** 2 / 1000).sum() < 51
    together = np.corrcoef(np.concatenate([drawn, uniforms(0, 1, range(20_000), 4)], axis=1).T)
    assert np.abs(together - np.eye(8)).max() < 0.04


def test_numbers_depend_on_seed_epoch_and_example_alone() -> None:
    whole = uniforms(3, 5, range(50), 8)
    assert (uniforms(3, 5, [49, 2], 8) == whole[[49, 2]]).all()
    assert not (uniforms(3, 6, range(50), 8) == whole).any()
    assert not (uniforms(4, 5, range(50), 8) == whole).any()


def test_flip_exchanges_left_and_right_of_the_chosen() -> None:
    given = images()
    changed = flip(given, np.array([True, False, True]))
    assert (changed[0] == given[0, :, :, ::-1]).all()
    assert (changed[1] == given[1]).all()
    assert (flip(changed, np.array([True, False, True])) == given).all()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-3, 2), (20, -20)])
def test_shift_moves_and_repeats_the_border(down: int, right: int) -> None:
    given = images()
    changed = shift(given, np.full(3, down), np.full(3, right))
    for row in range(10):
        for column in range(8):
            y, x = min(max(row - down, 0), 9), min(max(column - right, 0), 7)
            assert (changed[:, :, row, column] == given[:, :, y, x]).all()


@pytest.mark.parametrize(
    "places", [[0.0, 0, 0, 0], [0.999, 0.999, 0.999, 0.999], [0.5, 0.1, 0.3, 0.9]]
)
def test_erase_fills_one_rectangle_of_the_chosen(places: list[float]) -> None:
    given = images()
    changed = erase(
        given, np.array([True, False, False]), np.array([places] * 3), np.zeros(3, np.uint8)
    )
    assert (changed[1:] == given[1:]).all()
    erased = (changed[0, 0] == 0).all(-1)
    rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
    assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    for side, size in ((len(rows), 10), (len(columns), 8)):
        assert round(ERASED[0] * size) <= side <= round(ERASED[1] * size)
    assert erased.sum() == len(rows) * len(columns)
