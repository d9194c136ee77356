"""Maps of labels as a label for each cell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heedful.data.images.cells import cell_labels, read_map
from heedful.data.images.decode import BadImageError
from heedful.data.images.form import Form


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_a_cell_has_the_label_of_most_of_its_pixels(patch: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 3, (8, 12)) * 300
    got = cell_labels(numbers, Form(8, 12), patch)
    expected = []
    for row in range(0, 8, patch):
        for column in range(0, 12, patch):
            counts = Counter(numbers[row : row + patch, column : column + patch].ravel().tolist())
            expected.append(str(min(counts, key=lambda each: (-counts[each], each))))
    assert list(got) == expected


def test_a_map_of_another_size_is_scaled_to_the_nearest() -> None:
    numbers = np.array([[1, 2], [3, 4]])
    assert cell_labels(numbers, Form(4, 4), 2) == ("1", "2", "3", "4")


def test_more_than_256_labels_are_scaled_too() -> None:
    numbers = np.arange(600).reshape(20, 30)
    assert cell_labels(np.repeat(numbers, 2, axis=0), Form(20, 30), 1) == tuple(
        map(str, range(600))
    )


def test_maps_are_grey_or_palette_images_or_arrays(tmp_path: Path) -> None:
    numbers = np.array([[0, 2], [1, 255]], np.uint8)
    palette = Image.fromarray(numbers).convert("P")
    palette.putdata(numbers.ravel().tolist())
    palette.putpalette([9] * 768)
    palette.save(tmp_path / "palette.png")
    Image.fromarray(numbers).save(tmp_path / "grey.png")
    Image.fromarray(numbers.astype(np.uint16) * 256).save(tmp_path / "wide.png")
    np.save(tmp_path / "array.npy", numbers)
    for name in ("palette.png", "grey.png", "array.npy"):
        assert (read_map(tmp_path / name) == numbers).all()
    assert (read_map(tmp_path / "wide.png") == numbers.astype(int) * 256).all()


def test_other_maps_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "colour.png")
    with pytest.raises(
        BadImageError, match=r"colour\.png: a map of labels has one whole number a pixel"
    ):
        read_map(tmp_path / "colour.png")
    (tmp_path / "none.png").write_text("x", encoding="utf-8")
    with pytest.raises(BadImageError, match=r"none\.png: the map of labels cannot be read"):
        read_map(tmp_path / "none.png")
