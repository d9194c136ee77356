"""Write files so that a killed process, a full disk or a power failure leaves the old content or the new."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heedful.errors import WriteError

PARTIAL: Final = ".partial"
"""The end of the names of files that are being written."""
CHUNK: Final = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 atomically, see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    r"""Replace the content of a file once the new one is on the disk and was read back.

    Raises: WriteError naming the file, which then has the content that it had before.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.txt")
    ...     write_bytes(path, b"new\n")
    ...     path.read_text(), [each.name for each in Path(folder).iterdir()]
    ('new\n', ['a.txt'])
    """
    partial = partial_path(path)
    with writing(path):
        try:
            _write(partial, content)
            if not _holds(partial, content):
                raise OSError(errno.EIO, "what was read back differs from what was written")
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def partial_path(path: Path) -> Path:
    """Return a name in the folder of `path` that no other process chooses, for the file until it is complete."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")


def is_partial(path: Path) -> bool:
    """Whether a file has a name that `partial_path` gives."""
    return re.fullmatch(rf"\..+\.\d+-[0-9a-f]{{8}}{re.escape(PARTIAL)}", path.name) is not None


def remove_partial_files(folder: Path) -> None:
    """Remove the files that killed processes were writing in `folder`; none may be writing there now."""
    for path in folder.glob(f".*{PARTIAL}"):
        if is_partial(path):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a WriteError that names `path`."""
    try:
        yield
    except OSError as error:
        raise WriteError(path, error) from error


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds(path: Path, content: bytes) -> bool:
    rest = memoryview(content)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if chunk != rest[: len(chunk)]:
                return False
            rest = rest[len(chunk) :]
    return not rest
