"""Bytes that are appended and read again: in memory while they are few, in a temporary file beyond that."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from heedful.errors import DataError

MEMORY_LIMIT = 16 << 20
"""Bytes that a spool keeps in memory; more of them go to a file."""


class Spool:
    """Bytes, appended and then read. Beyond `limit` bytes they lie in a temporary file that has no name.

    The file is in the system's folder for temporary files (`TMPDIR`). It disappears with this object and with the
    process, however that ends.

    Args:
        limit: the number of bytes that are kept in memory; None: `MEMORY_LIMIT`.

    >>> spool = Spool(limit=4)
    >>> spool.append(b"seven"), spool.append(b" bytes")
    (None, None)
    >>> spool.read(2, 7), spool.is_on_disk, len(spool)
    (b'ven b', True, 11)
    """

    def __init__(self, limit: int | None = None):
        self._limit = MEMORY_LIMIT if limit is None else limit
        self._memory = bytearray()
        self._file: BinaryIO | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def is_on_disk(self) -> bool:
        """Whether the bytes are in a file."""
        return self._file is not None

    def append(self, data: bytes | bytearray) -> None:
        """Append bytes.

        Raises: DataError if they cannot be written, such as for a full disk; names the folder.
        """
        self._size += len(data)
        if self._file is None and self._size <= self._limit:
            self._memory += data
            return
        with _naming_the_folder():
            if self._file is None:
                # Unbuffered, so that a full disk is noticed here and not when the file is closed.
                self._file = cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
                weakref.finalize(self, self._file.close)
                _write(self._file, self._memory)
                self._memory = bytearray()
            _write(self._file, data)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`."""
        if self._file is None:
            return bytes(self._memory[start:stop])
        self._file.seek(start)
        return self._file.read(stop - start)

    def array(self, dtype: DTypeLike) -> NDArray[Any]:
        """Return the bytes as the values of an array that cannot be written; memory-mapped if they are in a file."""
        if self._file is None:
            return np.frombuffer(bytes(self._memory), dtype)
        # Slices of a plain view are cheaper than those of a `memmap`.
        return np.memmap(self._file, dtype, mode="r").view(np.ndarray)


def _write(file: BinaryIO, data: bytes | bytearray) -> None:
    file.seek(0, 2)
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


@contextmanager
def _naming_the_folder() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{error.strerror}; training data are kept here in a temporary file while they are prepared. Free some "
            "space, or set TMPDIR to another folder.",
            path=tempfile.gettempdir(),
        ) from None
