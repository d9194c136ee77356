"""IDX files, the format of MNIST and Fashion-MNIST: images and their labels in two files, plain or gzipped."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heedful.data.images.dataset import Image
from heedful.data.images.picture import Picture
from heedful.data.opening import check_file
from heedful.errors import DataError

NAME = re.compile(r"(.*)-(images|labels)[-.]idx([13])-ubyte(\.gz)?", re.IGNORECASE)
"""Name of a file: what it is of, such as train or t10k; images or labels; the number of axes."""
UNSIGNED_BYTES = 8
"""The code of the element type that images and labels have."""


def is_idx(path: Path) -> bool:
    """Return whether a file is named as an IDX file of images.

    >>> is_idx(Path("train-images-idx3-ubyte.gz")), is_idx(Path("train-labels-idx1-ubyte"))
    (True, False)
    """
    match = NAME.fullmatch(path.name)
    return match is not None and match[2].lower() == "images"


def read_idx(path: Path, *, answers: bool) -> list[Image]:
    """Read a file of images, and its labels from the file beside it that is named labels instead of images.

    Raises: DataError for a file that is missing, truncated or of another format, or if the numbers differ.
    """
    pixels = read_array(path, axes=3)
    labels: list[tuple[str, ...]] = [()] * len(pixels)
    if answers:
        labels_path = _labels_beside(path)
        numbers = read_array(labels_path, axes=1)
        if len(numbers) != len(pixels):
            raise DataError(
                f"holds {len(numbers):,} labels; {path.name} holds {len(pixels):,} images.",
                path=labels_path,
            )
        labels = [(str(number),) for number in numbers.tolist()]
    images = []
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True), start=1):
        picture = Picture(
            image[None, ..., None], f"{path.name}:{number}", image.shape, (), f"{path}:{number}"
        )
        images.append(Image(picture, label, path))
    return images


def _labels_beside(path: Path) -> Path:
    match = NAME.fullmatch(path.name)
    assert match is not None
    name = path.name.replace(match[2], "labels").replace("idx3", "idx1")
    found = path.with_name(name)
    other = found.with_suffix("") if found.suffix == ".gz" else found.with_name(f"{name}.gz")
    return other if other.exists() and not found.exists() else found


def read_array(path: Path, *, axes: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file; gzip is detected by its first bytes.
        axes: the number of axes that it must have.

    Raises: DataError for a file that is missing, truncated, or of another format.
    """
    check_file(path)
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot be read, or the gzip data is damaged or truncated ({error}); copy the file again.",
            path=path,
        ) from None
    start = 4 + 4 * axes
    if len(data) < start or data[:4] != bytes([0, 0, UNSIGNED_BYTES, axes]):
        raise DataError(
            f"not an IDX file of unsigned bytes with {axes} {'axis' if axes == 1 else 'axes'}: it starts with "
            f"{data[:4].hex(' ') or 'nothing'}; expected 00 00 08 0{axes}.",
            path=path,
        )
    shape = np.frombuffer(data[4:start], ">u4").tolist()
    wanted = int(np.prod(shape, dtype=object))
    if len(data) - start != wanted or not wanted:
        raise DataError(
            f"the file announces {' × '.join(map(str, shape))} bytes and holds {len(data) - start:,}; copy it again.",
            path=path,
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
