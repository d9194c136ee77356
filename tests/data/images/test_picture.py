"""Pictures: arrays in several shapes, large files kept small, frames of videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heedful.data.images.decode import BadImageError
from heedful.data.images.form import Form, resize
from heedful.data.images.picture import Picture, as_frames
from heedful.errors import DataError


def saved(path: Path, height: int, width: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_a_small_image_is_kept_as_it_is(tmp_path: Path) -> None:
    pixels = saved(tmp_path / "a.png", 100, 128)
    picture = Picture.read([tmp_path / "a.png"], "a")
    assert (picture.kept[0] == pixels).all()
    assert picture.size == (100, 128)
    assert (picture.at(Form(16, 16))[0] == resize(pixels, Form(16, 16))).all()


def test_of_a_large_image_the_likely_size_is_kept_and_another_decoded_again(tmp_path: Path) -> None:
    pixels = saved(tmp_path / "a.png", 200, 300)
    picture = Picture.read([tmp_path / "a.png"], "a")
    assert picture.kept.shape == (1, 64, 64, 3)
    assert picture.at(Form(64, 64)) is picture.kept
    for form in (Form(32, 32), Form(64, 64, "crop"), Form(200, 300)):
        assert (picture.at(form)[0] == resize(pixels, form)).all()


def test_a_stated_size_is_kept(tmp_path: Path) -> None:
    pixels = saved(tmp_path / "a.png", 50, 30)
    picture = Picture.read([tmp_path / "a.png"], "a", side=16, fit="pad")
    assert picture.at(Form(16, 16, "pad")) is picture.kept
    assert (picture.kept[0] == resize(pixels, Form(16, 16, "pad"))).all()
    assert (picture.at(Form(50, 30, "pad"))[0] == pixels).all()


def test_frames_are_of_one_size(tmp_path: Path) -> None:
    saved(tmp_path / "1.png", 8, 8)
    saved(tmp_path / "2.png", 8, 9)
    with pytest.raises(BadImageError, match=r"2\.png: the frame has 8 × 9 pixels; the first"):
        Picture.read([tmp_path / "1.png", tmp_path / "2.png"], "video")


def test_grey_frames_among_coloured_ones_become_coloured(tmp_path: Path) -> None:
    saved(tmp_path / "1.png", 8, 8)
    Image.new("L", (8, 8), 9).save(tmp_path / "2.png")
    picture = Picture.read([tmp_path / "1.png", tmp_path / "2.png"], "video")
    assert picture.kept.shape == (2, 8, 8, 3)
    assert (picture.kept[1] == 9).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 5), (1, 4, 5, 1)),
        ((4, 5, 3), (1, 4, 5, 3)),
        ((4, 5, 1), (1, 4, 5, 1)),
        ((7, 4, 5), (7, 4, 5, 1)),
        ((7, 4, 5, 3), (7, 4, 5, 3)),
    ],
)
def test_shapes_of_arrays(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert as_frames(np.zeros(shape, np.uint8)).shape == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(4, np.uint8), r"shape \(4,\) is no image"),
        (np.zeros((2, 2, 2, 2), np.uint8), r"shape \(2, 2, 2, 2\) is no image"),
        (np.zeros((0, 4), np.uint8), "is no image"),
        (np.zeros((2, 2)), "float64 from 0 to 0; expected whole numbers"),
        (np.array([[256]]), "int64 from 256 to 256"),
        (np.array([[-1]]), "int64 from -1 to -1"),
        ([[1], [1, 2]], "different lengths"),
        ([["a"]], "expected whole numbers"),
    ],
)
def test_other_arrays_are_refused(given: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_frames(given)
