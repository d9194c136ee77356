"""Random changes of an image: what each does."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.data.images.augment import ERASED, erase, flip, shift


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (2, 10, 8, 3)).astype(np.uint8)


def test_flip_exchanges_left_and_right() -> None:
    given = image()
    assert (flip(given) == given[:, :, ::-1]).all()
    assert (flip(flip(given)) == given).all()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-3, 2), (20, -20)])
def test_shift_moves_and_repeats_the_border(down: int, right: int) -> None:
    given = image()
    changed = shift(given, down, right)
    for row in range(10):
        for column in range(8):
            y, x = min(max(row - down, 0), 9), min(max(column - right, 0), 7)
            assert (changed[:, row, column] == given[:, y, x]).all()


@pytest.mark.parametrize(
    "place", [[0.0, 0, 0, 0], [0.999, 0.999, 0.999, 0.999], [0.5, 0.1, 0.3, 0.9]]
)
def test_erase_fills_one_rectangle(place: list[float]) -> None:
    given = image()
    changed = erase(given, np.array(place), np.zeros(3, np.uint8))
    erased = (changed[0] == 0).all(-1)
    assert (changed[:, ~erased] == given[:, ~erased]).all()
    rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
    assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    for side, size in ((len(rows), 10), (len(columns), 8)):
        assert round(ERASED[0] * size) <= side <= round(ERASED[1] * size)
    assert erased.sum() == len(rows) * len(columns)
