"""Opening of data files: what may be opened, gzip, and lines of a limited length."""

from __future__ import annotations

import gzip
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from heedful.errors import DataError, nearest, shown

_GZIP_MAGIC: Final = b"\x1f\x8b"
MAX_LINE: Final = 10_000_000
"""Maximum bytes of a line, unless another limit is given."""
MAX_ROW: Final = 100_000_000
"""Maximum characters of what spans several lines: a row of CSV, a sentence of labelled tokens."""
MAX_RATIO: Final = 200
"""How many times its size a gzip file may expand; natural text expands about three times."""
FREE_BYTES: Final = 16 * 2**20
"""Bytes that any gzip file may expand to."""


def check_file(path: str | Path, *, may_be_pipe: bool = False) -> None:
    """Check that a path is a file, without opening it.

    Args:
        path: the path.
        may_be_pipe: whether the file is read only once, so that it may also be a pipe or a terminal.

    Raises:
        DataError: the file is missing (the nearest file name is suggested), is a folder, or is neither a regular
            file nor a pipe that may be one.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise _missing_file(path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", path=path) from None
    if stat.S_ISDIR(mode):
        raise DataError("this is a folder; expected a file.", path=path)
    can_stream = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    if not stat.S_ISREG(mode) and not (may_be_pipe and can_stream):
        raise DataError(
            "this is a pipe or a device, which can be read only once; expected a regular file: save the data to a "
            "file and name that.",
            path=path,
        )


@contextmanager
def open_lines(
    path: Path, max_line: int = MAX_LINE, *, may_be_pipe: bool = False
) -> Iterator[Iterator[bytes]]:
    """Open a file, plain or gzipped, and return its lines as bytes.

    Gzip is detected by the first bytes, not by the file name.

    Raises: DataError as `check_file`; the lines as `bounded_lines`, and DataError for gzip data that expand more than
        `MAX_RATIO` times.
    """
    check_file(path, may_be_pipe=may_be_pipe)
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", path=path) from None
    with file:
        # Peek instead of reopening: a pipe can be read only once.
        start = file.peek(len(_GZIP_MAGIC))
        if start.startswith(_GZIP_MAGIC):
            counted = _Counted(file)
            with gzip.open(cast(Any, counted)) as expanded:
                yield _checked_ratio(
                    bounded_lines(io.BufferedReader(cast(Any, expanded)), path, max_line),
                    counted,
                    path,
                )
        elif start and path.suffix == ".gz":
            raise DataError(
                "the name ends in .gz but the file is not gzip data; rename or compress it.",
                path=path,
            )
        else:
            yield bounded_lines(file, path, max_line)


def bounded_lines(
    stream: BinaryIO | io.BufferedReader, name: str | Path, max_line: int = MAX_LINE
) -> Iterator[bytes]:
    r"""Lazily yield the lines of a stream, with their line endings.

    Raises: DataError for a line of more than `max_line` bytes.

    >>> list(bounded_lines(io.BytesIO(b"a\nbc"), "example"))
    [b'a\n', b'bc']
    """
    number = 0
    while line := stream.readline(max_line + 2):
        number += 1
        if len(line) > max_line and len(line.rstrip(b"\r\n")) > max_line:
            raise too_long(name, number, max_line)
        yield line


def too_long(name: str | Path, number: int, max_line: int) -> DataError:
    """Return the error about a line that exceeds the limit."""
    return DataError(
        f"the line is longer than {max_line:,} bytes; if it is meant to be, raise the limit with --max-line "
        "(data.max_line).",
        path=name,
        line=number,
    )


class _Counted:
    """Counts the bytes that are read of a file."""

    def __init__(self, file: BinaryIO | io.BufferedReader):
        self.file = file
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.count += len(data)
        return data


def _checked_ratio(lines: Iterator[bytes], source: _Counted, path: Path) -> Iterator[bytes]:
    expanded = 0
    for number, line in enumerate(lines, start=1):
        expanded += len(line)
        if expanded > FREE_BYTES and expanded > MAX_RATIO * source.count:
            raise DataError(
                f"the gzip data expand to more than {MAX_RATIO} times their size; if they are meant to, decompress "
                "the file first.",
                path=path,
                line=number,
            )
        yield line


def _missing_file(path: Path) -> DataError:
    folder = path.parent
    try:
        if not folder.is_dir():
            return DataError(f"no such file, and no folder {shown(str(folder))}.", path=path)
        near = nearest(path.name, sorted(entry.name for entry in folder.iterdir()))
    except (OSError, ValueError):
        near = None
    hint = f" did you mean {shown(str(folder / near))}?" if near else ""
    return DataError(f"no such file{';' if hint else '.'}{hint}", path=path)
