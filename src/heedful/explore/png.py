"""PNG images of a few lines, for pages that are made without a drawing library."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPES: Final = {1: 0, 3: 2, 4: 6}
"""Channels -> the code of grey, RGB and RGB with opacity."""


def png(pixels: NDArray[np.uint8]) -> bytes:
    r"""Return a PNG of (rows, columns), grey, or (rows, columns, 1, 3 or 4 channels).

    >>> png(np.zeros((2, 3), np.uint8))[:4], png(np.zeros((2, 3, 4), np.uint8))[25]
    (b'\x89PNG', 6)
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows, columns = pixels.shape[:2]
    flat = pixels.reshape(rows, columns, -1)
    colour = _COLOUR_TYPES[flat.shape[2]]
    head = struct.pack(">IIBBBBB", columns, rows, 8, colour, 0, 0, 0)
    filtered = np.concatenate([np.zeros((rows, 1), np.uint8), flat.reshape(rows, -1)], axis=1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
