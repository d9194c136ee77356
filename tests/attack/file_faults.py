"""Faults at the n-th operation on the files of a run: a kill, a full disk, a folder that may not be written to."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

ON_PATHS = ("open", "replace", "rename", "unlink", "mkdir", "rmdir")
ON_DESCRIPTORS = ("write", "fsync", "ftruncate")
GROWING = {"open", "write", "mkdir", "fsync"}
"""Operations that fail on a full disk."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FileFaults:
    """Counts the operations that change files below a folder, and lets the n-th meet a fault.

    The fault is "kill" (SIGKILL, of a write after half of its bytes), "full" (ENOSPC from then on, for what needs
    room), "read-only" (EROFS from then on, for all) or "broken" (EIO, once).
    """

    def __init__(self, folder: Path, at: int = 0, fault: str = "kill"):
        self.folder, self.at, self.fault = str(folder), at, fault
        self.operations: list[str] = []
        self._descriptors: dict[int, str | None] = {}
        self._originals: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> FileFaults:
        for name in (*ON_PATHS, *ON_DESCRIPTORS):
            self._originals[name] = getattr(os, name)
            setattr(os, name, self._counted(name))
        return self

    def __exit__(self, *error: object) -> None:
        for name, original in self._originals.items():
            setattr(os, name, original)

    def _counted(self, name: str) -> Callable[..., Any]:
        original = self._originals[name]

        def call(target: Any, *args: Any, **options: Any) -> Any:
            path = self._path(name, target, options)
            changes = path is not None and (name != "open" or bool(args and args[0] & WRITING))
            if changes:
                self.operations.append(f"{name} {path}")
                self._meet(name, path, target, args)
            if name == "fsync":  # a kill loses nothing that the system was given
                return None
            result = original(target, *args, **options)
            if name == "open":
                self._descriptors[result] = path
            return result

        return call

    def _path(self, name: str, target: Any, options: Any) -> str | None:
        """Return the path of an operation, relative to the folder; None for one that is elsewhere."""
        if name in ON_DESCRIPTORS:
            return self._descriptors.get(target)
        if options.get("dir_fd") is not None:  # in shutil.rmtree
            return str(target)
        path = os.path.abspath(os.fspath(target))
        return os.path.relpath(path, self.folder) if path.startswith(self.folder) else None

    def _meet(self, name: str, path: str | None, target: Any, args: Any) -> None:
        number = len(self.operations)
        if not self.at or number < self.at:
            return
        if name == "write" and number == self.at:
            self._originals["write"](target, args[0][: len(args[0]) // 2])
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "broken" and number == self.at:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if self.fault == "full" and name in GROWING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if self.fault == "read-only":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
