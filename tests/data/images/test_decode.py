"""Images of every mode and many formats become 8-bit grey or RGB, and a bad file is one error that names it."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heedful.data.images.decode import BadImageError, decode, read_pixels, to_pixels
from heedful.errors import DataError


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels_of(image: Image.Image, kind: str = "PNG", **options: Any) -> list[Any]:
    found: list[Any] = decode(encoded(image, kind, **options), Path("image")).tolist()
    return found


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (Image.new("L", (1, 1), 7), "PNG", [[[7]]]),
        (Image.new("1", (1, 1), 1), "PNG", [[[255]]]),
        (Image.new("RGB", (1, 1), (1, 2, 3)), "PNG", [[[1, 2, 3]]]),
        (Image.new("RGB", (1, 1), (1, 2, 3)), "BMP", [[[1, 2, 3]]]),
        (Image.new("RGB", (1, 1), (1, 2, 3)), "TIFF", [[[1, 2, 3]]]),
        (Image.new("L", (1, 1), 7), "TIFF", [[[7]]]),
        (Image.new("I;16", (1, 1), 257 * 9), "PNG", [[[9]]]),
        (Image.new("I;16", (1, 1), 65535), "TIFF", [[[255]]]),
        (Image.new("I", (1, 1), 70000), "TIFF", [[[255]]]),
        (Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "TIFF", [[[255, 0, 0]]]),
        (Image.new("RGBA", (1, 1), (255, 0, 0, 0)), "PNG", [[[255, 255, 255]]]),
        (Image.new("RGBA", (1, 1), (0, 0, 0, 51)), "PNG", [[[204, 204, 204]]]),
        (Image.new("LA", (1, 1), (0, 51)), "PNG", [[[204]]]),
    ],
)
def test_modes_become_grey_or_rgb(image: Image.Image, kind: str, expected: list[Any]) -> None:
    assert pixels_of(image, kind) == expected


def test_a_palette_is_grey_if_all_its_colours_are() -> None:
    image = Image.new("P", (2, 1))
    image.putdata([0, 1])
    image.putpalette([5, 5, 5, 200, 200, 200])
    assert pixels_of(image) == [[[5], [200]]]
    image.putpalette([5, 5, 5, 200, 0, 0])
    assert pixels_of(image) == [[[5, 5, 5], [200, 0, 0]]]
    assert pixels_of(image, transparency=1) == [[[5, 5, 5], [255, 255, 255]]]


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "LAB"])
def test_other_colour_spaces_become_rgb(mode: str) -> None:
    image = (
        Image.new("RGB", (2, 2), (10, 20, 30)).convert(mode)
        if mode != "LAB"
        else Image.new("LAB", (2, 2))
    )
    assert to_pixels(image).shape == (2, 2, 3)


def test_the_orientation_of_exif_is_applied() -> None:
    image = Image.new("L", (2, 1))
    image.putdata([0, 255])
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert pixels_of(image, exif=exif) == [[[0]], [[255]]]


def test_of_an_animation_the_first_frame_is_read() -> None:
    frames = [Image.new("L", (1, 1), value) for value in (10, 200)]
    assert pixels_of(frames[0], "GIF", save_all=True, append_images=frames[1:]) == [[[10]]]


def test_floating_point_pixels_have_no_range() -> None:
    with pytest.raises(BadImageError, match="image: .*without a stated range"):
        decode(encoded(Image.new("F", (1, 1), 0.5), "TIFF"), Path("image"))


def noise(size: int = 64) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size, size, 3))
    return Image.fromarray(values.astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WebP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_file_is_named(kind: str, share: float, tmp_path: Path) -> None:
    data = encoded(noise(), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadImageError, match=r"cut\.img: (the image is truncated|not an image)"):
        read_pixels(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WebP"])
def test_damaged_bytes_are_an_error_of_ours_or_an_image(kind: str) -> None:
    data, draw = encoded(noise(), kind), np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(data)
        for place in draw.integers(0, len(data), 8):
            damaged[place] = int(draw.integers(0, 256))
        try:
            pixels = decode(bytes(damaged), Path("damaged"))
        except BadImageError as error:
            message = str(error)
        else:
            message = f"damaged: {pixels.dtype} {pixels.shape[2]}"
        assert message.startswith(("damaged: the image", "damaged: not an image", "damaged: uint8"))


def test_a_file_that_claims_too_many_pixels_is_not_decoded() -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    for side in (10_000, 100_000):  # where Pillow warns, and where it raises
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        data = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", b"")
            + chunk(b"IEND", b"")
        )
        with pytest.raises(BadImageError, match="bomb: the image has more than 89,478,485 pixels"):
            decode(data, Path("bomb"))


def test_what_is_no_image_is_said(tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("no image", encoding="utf-8")
    with pytest.raises(
        BadImageError, match=r"note\.png: not an image in a format that Pillow reads"
    ):
        read_pixels(path)
    path.write_bytes(b"")
    with pytest.raises(BadImageError, match=r"note\.png: the file is empty"):
        read_pixels(path)
    with pytest.raises(DataError, match=r"nothing\.png: no such file"):
        read_pixels(tmp_path / "nothing.png")
    with pytest.raises(DataError, match="this is a folder"):
        read_pixels(tmp_path)
