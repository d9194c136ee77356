"""One process at a time writes to a run folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from heedful.errors import RunError, WriteError

LOCK: Final = ".heedful.lock"
"""File of a run folder that is locked, and names the process, while that process writes to the folder."""
_BYTE: Final = 1 << 30
"""The byte locked on Windows, where a locked byte cannot be read: one behind the name of the process."""


class RunLock:
    """The right to write to a folder, as a context manager; a process that ends in any way gives it up.

    The lock is the system's (`flock`; on Windows `msvcrt.locking`), so none is left by a killed process. On file
    systems without locks `is_supported` is False, and nothing keeps a second process out.

    A folder that does not exist is made, and removed at the end if it is still empty.

    Raises: RunError naming the process that holds the lock; WriteError if the folder cannot be written to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, RunLock(Path(folder)):
    ...     with RunLock(Path(folder)):  # doctest: +ELLIPSIS
    ...         pass
    Traceback (most recent call last):
    heedful.errors.RunError: ... is being written to by process ... on ...
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / LOCK
        self.is_supported = True
        self._descriptor: int | None = None
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        self._make_folder()
        try:
            while not self._acquire():
                pass
            self._describe_owner()
        except OSError as error:
            self._release()
            raise WriteError(self.path, error) from error
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def _make_folder(self) -> None:
        missing = [each for each in (self.folder, *self.folder.parents) if not each.exists()]
        try:
            for each in reversed(missing):
                each.mkdir(exist_ok=True)
                self._made.insert(0, each)
        except OSError as error:
            self._release()
            raise WriteError(self.folder, error) from error

    def _acquire(self) -> bool:
        """Open and lock the file; False if its last owner removed it meanwhile.

        Raises: RunError if another process has locked it.
        """
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._descriptor)
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                self.is_supported = False
                return True
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise
            owner = _owner(self._descriptor)
            self._close()
            raise RunError(
                f"{self.folder} is being written to by {owner}; wait until it ends, stop it, or choose another folder"
            ) from None
        if self._is_in_place():
            return True
        self._close()
        return False

    def _is_in_place(self) -> bool:
        """Whether the open file is the one that others would open."""
        assert self._descriptor is not None
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _describe_owner(self) -> None:
        assert self._descriptor is not None
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps(owner).encode() + b"\n")

    def _release(self) -> None:
        """Remove the file, while it is still locked, then what was made for it."""
        if self._descriptor is not None:
            in_place = self._is_in_place()
            if os.name == "nt":  # which removes no open file
                self._close()
            if in_place:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            self._close()
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._made.clear()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def check_unlocked(folder: Path) -> None:
    """Check that no process writes to `folder`; it need not exist.

    Raises: RunError naming the process that does; WriteError if the folder cannot be written to.
    """
    if (folder / LOCK).exists():
        with RunLock(folder):
            pass


def _owner(descriptor: int) -> str:
    """Return the process that the lock file names, which another process may be about to write."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = json.loads(os.read(descriptor, 1000))
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
