"""Image files as arrays of 8-bit pixels, grey or RGB, by one rule for every mode that a file may have."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.opening import check_file
from heedful.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
"""(height, width, 1) of a grey image, (height, width, 3) of a colour image."""

INSTALL: Final = (
    'images are decoded by Pillow, which is not installed: pip install "heedful[images]"'
)
SIXTEEN_BITS: Final = ("I;16", "I;16L", "I;16B", "I;16N", "I")


class BadImageError(DataError):
    """A file that is no image, or a damaged one; it can be left out by --skip-bad."""


def read_pixels(path: Path) -> Pixels:
    """Decode an image file.

    The orientation that EXIF notes is applied. Grey stays grey; black and white become 0 and 255; 16 bits are divided
    by 257; transparent pixels are blended with white; palettes, CMYK and other colour spaces become RGB by Pillow's
    conversion. Of an animation the first frame is read.

    Raises: DataError for a file that is missing; BadImageError for one that is no image, truncated or damaged, or whose
        header announces more pixels than Pillow takes for an attack (89 million).
    """
    check_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", path=path) from None
    return decode(data, path)


def decode(data: bytes, path: Path) -> Pixels:
    """Decode the bytes of an image file; see `read_pixels`."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise DataError(INSTALL, path=path) from None
    if not data:
        raise BadImageError("the file is empty; expected an image.", path=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data)) as image:
                return to_pixels(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BadImageError(
            f"the image has more than {Image.MAX_IMAGE_PIXELS:,} pixels and is not decoded: a small file may claim "
            "any size to exhaust the memory. If it is genuine, make it smaller.",
            path=path,
        ) from None
    except UnidentifiedImageError:
        raise BadImageError(
            "not an image in a format that Pillow reads, such as PNG, JPEG, WebP, TIFF, GIF or BMP.",
            path=path,
        ) from None
    except MemoryError:
        raise
    # The decoders raise many types for damaged files: OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise BadImageError(
            f"the image is truncated or damaged ({reason}); copy the file again, or leave it out with --skip-bad.",
            path=path,
        ) from None


def to_pixels(image: Image) -> Pixels:
    """Convert an image of any of Pillow's modes to 8-bit grey or RGB.

    >>> from PIL import Image
    >>> to_pixels(Image.new("I;16", (1, 1), 65535)).tolist(), to_pixels(Image.new("CMYK", (1, 1))).tolist()
    ([[[255]]], [[[255, 255, 255]]])
    """
    if image.mode in SIXTEEN_BITS:
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return ((wide + 128) // 257).astype(np.uint8)[..., None]
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers without a stated range")
    if image.has_transparency_data:
        image = _on_white(image)
    grey = image.mode in ("1", "L") or (image.mode == "P" and _is_grey(image))
    if grey:
        return np.array(image.convert("L"), dtype=np.uint8)[..., None]
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _is_grey(image: Image) -> bool:
    """Return whether every colour of a palette is grey."""
    palette: Any = image.getpalette("RGB")
    colours = np.array(palette).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _on_white(image: Image) -> Image:
    from PIL import Image

    is_grey = image.mode in ("L", "LA", "La", "1") or (image.mode == "P" and _is_grey(image))
    colour = image.convert("RGBA")
    blended = Image.alpha_composite(Image.new("RGBA", colour.size, (255,) * 4), colour)
    return blended.convert("L" if is_grey else "RGB")
