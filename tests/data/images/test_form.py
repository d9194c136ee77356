"""Sizes: which one images share, and how others are brought to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heedful.data.images.form import Fit, Form, as_channels, common_form, resize
from heedful.data.images.picture import Picture


def image(height: int, width: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize(
    ("sizes", "side", "expected"),
    [
        ([(28, 28)] * 2, 0, (28, 28)),
        ([(128, 20)], 0, (128, 20)),
        ([(129, 129)], 0, (64, 64)),
        ([(28, 28), (28, 27)], 0, (64, 64)),
        ([(28, 28), (28, 27)], 32, (32, 32)),
    ],
)
def test_the_size_of_all(
    sizes: list[tuple[int, int]], side: int, expected: tuple[int, int]
) -> None:
    assert common_form(sizes, side, "crop") == Form(*expected, "crop")


def test_growing_is_bilinear_as_in_torch() -> None:
    given = image(5, 7, 3)
    got = resize(given, Form(10, 14))
    tensor = torch.from_numpy(given).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(
        tensor, (10, 14), mode="bilinear", align_corners=False, antialias=True
    )
    assert np.abs(got - expected[0].permute(1, 2, 0).numpy()).max() <= 1.0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_size_of_the_same_shape_is_a_scaling(fit: Fit, channels: int) -> None:
    given = image(8, 6, channels)
    assert (resize(given, Form(4, 3, fit)) == resize(given, Form(4, 3))).all()
    assert resize(given, Form(8, 6, fit)) is given


def test_crop_cuts_both_ends_and_pad_adds_black_at_both() -> None:
    wide = np.repeat(np.arange(8, dtype=np.uint8)[None, :, None], 4, axis=0)
    assert resize(wide, Form(4, 4, "crop"))[0, :, 0].tolist() == [2, 3, 4, 5]
    padded = resize(wide + 1, Form(8, 8, "pad"))[:, 0, 0].tolist()
    assert padded == [0, 0, 1, 1, 1, 1, 0, 0]


def test_grey_of_colours_is_that_of_pillow_within_rounding() -> None:
    from PIL import Image

    given = image(9, 9, 3)
    expected = np.array(Image.fromarray(given).convert("L"))
    assert np.abs(as_channels(given, 1)[..., 0].astype(int) - expected).max() <= 1
    assert (as_channels(as_channels(given, 1), 3)[..., 1] == as_channels(given, 1)[..., 0]).all()


def test_labels_are_scaled_to_the_nearest() -> None:
    labels = np.array([[0, 9], [200, 9]], np.uint8)[..., None]
    assert set(resize(labels, Form(7, 7), nearest=True).ravel().tolist()) == {0, 9, 200}


def test_a_picture_in_a_form_is_the_image_resized() -> None:
    given = image(20, 30, 3)
    picture = Picture.of(given, "given")
    assert (picture.at(Form(8, 8, "pad"))[0] == resize(given, Form(8, 8, "pad"))).all()
    assert (picture.at(Form(20, 30))[0] == given).all()
