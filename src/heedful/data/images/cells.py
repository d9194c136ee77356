"""Maps of labels, a number for each pixel, as a label for each cell of an image."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heedful.data.images.decode import BadImageError
from heedful.data.images.form import Form, resize
from heedful.data.opening import check_file

NumberMap = NDArray[np.int64]
"""(height, width)."""


def read_map(path: Path) -> NumberMap:
    """Read a map of labels: an image of one channel, whose grey values or palette indices are the labels, or a `.npy`.

    Raises: DataError for a file that is missing; BadImageError for one that cannot be read, or has colours.
    """
    check_file(path)
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            from PIL import Image

            with Image.open(BytesIO(path.read_bytes())) as image:
                array = np.array(image)
    except Exception as error:
        reason = " ".join(str(error).split())[:100]
        raise BadImageError(f"the map of labels cannot be read ({reason}).", path=path) from None
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise BadImageError(
            "a map of labels has one whole number a pixel: a grey or palette image, or a .npy of (height, width); "
            f"this one has shape {array.shape} of {array.dtype}.",
            path=path,
        )
    numbers: NumberMap = array.astype(np.int64)
    return numbers


def cell_labels(numbers: NumberMap, form: Form, patch: int) -> tuple[str, ...]:
    """Return the most frequent label of each cell of patch × patch pixels, in reading order; of equals the smallest.

    The map is brought to `form` first, each pixel by its nearest.

    >>> cell_labels(np.array([[1, 1, 0, 2], [1, 0, 2, 2]]), Form(2, 4), 2)
    ('1', '2')
    """
    names, index = np.unique(numbers, return_inverse=True)
    index = index.reshape(numbers.shape)
    # Pillow scales 8 bits, so that the index of a label is scaled byte by byte.
    low, high = ((index >> shift) & 255 for shift in (0, 8))
    scaled = [
        resize(part.astype(np.uint8)[..., None], form, nearest=True)[..., 0] for part in (low, high)
    ]
    rows, columns = form.height // patch, form.width // patch
    sized = scaled[0].astype(np.int64) + 256 * scaled[1].astype(np.int64)
    cells = sized.reshape(rows, patch, columns, patch).swapaxes(1, 2).reshape(rows * columns, -1)
    counts = (cells[:, :, None] == np.arange(len(names))).sum(axis=1)
    return tuple(str(names[best]) for best in counts.argmax(axis=1))
