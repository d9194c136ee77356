"""Files whose content this process may execute: written by this user or by root, and by nobody else."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

LARGEST = 64 * 2**20
"""Bytes of the largest file that is read; a kernel takes less than a hundredth of it."""
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(PermissionError):
    """Somebody else may have written a file, or a folder above it."""


def read_trusted(base: Path, folders: tuple[str, ...], name: str) -> bytes:
    """Return the content of the file `name` in the nested `folders` of `base`.

    The file and each of the folders must be owned by this user or by root, must not be writable by the group or by
    others, and must not be symbolic links. Everything is checked on the open file, which cannot be exchanged any more.
    `base` itself is not checked: whoever may write there can only put something of his own there, which is refused.
    Windows has neither owners nor modes in this sense; there only symbolic links and special files are refused.

    Raises:
        UntrustedError: a condition does not hold.
        OSError: the file does not exist or cannot be read.
    """
    with _OpenFolder(base, folders) as folder:
        handle = folder.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            _check(status, base.joinpath(*folders, name), stat.S_ISREG)
            if status.st_size > LARGEST:
                raise UntrustedError(f"{name} is larger than any kernel: {status.st_size} bytes")
            return file.read(LARGEST)


def names_trusted(base: Path, folders: tuple[str, ...]) -> list[str]:
    """Return the names in a folder that `read_trusted` would read from; raises the same errors."""
    with _OpenFolder(base, folders) as folder:
        return folder.names()


def write_trusted(base: Path, folders: tuple[str, ...], name: str, content: bytes) -> None:
    """Write a file that `read_trusted` accepts, whatever the umask is. It appears whole or not at all.

    Raises:
        UntrustedError: a folder is not trusted.
        OSError: the file cannot be written.
    """
    place = base.joinpath(*folders)
    for folder in (*reversed(base.parents), base, *reversed(place.parents), place):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    with _OpenFolder(base, folders):
        handle, temporary = tempfile.mkstemp(dir=place, prefix=".")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, place / name)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


class _OpenFolder:
    """A checked folder; what is opened in it is looked up in that very folder, where the system can do that."""

    def __init__(self, base: Path, folders: tuple[str, ...]) -> None:
        self.base, self.folders = base, folders
        self.handle: int | None = None
        self.place = base

    def __enter__(self) -> _OpenFolder:
        if os.open in os.supports_dir_fd:
            self.handle = os.open(self.base, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in self.folders:
                self._enter(name)
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.handle is not None:
            os.close(self.handle)

    def _enter(self, name: str) -> None:
        place = self.place / name
        if self.handle is None:
            _check(os.lstat(place), place, stat.S_ISDIR)
        else:
            inner = self.open(name, os.O_RDONLY | os.O_DIRECTORY)
            os.close(self.handle)
            self.handle = inner
            _check(os.fstat(inner), place, stat.S_ISDIR)
        self.place = place

    def open(self, name: str, flags: int) -> int:
        """Open a name in this folder, unless it is a symbolic link."""
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        if self.handle is not None:
            return os.open(name, flags, dir_fd=self.handle)
        if (self.place / name).is_symlink():
            raise UntrustedError(f"{self.place / name} is a symbolic link")
        return os.open(self.place / name, flags)

    def names(self) -> list[str]:
        """The names in this folder."""
        return os.listdir(self.place if self.handle is None else self.handle)


def _check(status: os.stat_result, place: Path, is_kind: Callable[[int], bool]) -> None:
    """Raise UntrustedError unless a file or folder is of its kind and only this user and root may have written it."""
    if not is_kind(status.st_mode):
        raise UntrustedError(f"{place} is not a regular file or folder")
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedError(f"{place} belongs to another user ({status.st_uid})")
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise UntrustedError(
            f"{place} is writable by others (mode {stat.S_IMODE(status.st_mode):o}); "
            "`chmod go-w` it, or delete it"
        )
