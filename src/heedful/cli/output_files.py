"""Checking and writing the output files of a command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heedful.atomic_files import partial_path
from heedful.errors import RunError


def check_writable(path: Path | None, *, overwrite: bool) -> None:
    """Check that a file may be written, without changing anything.

    Raises: RunError if it exists and `overwrite` is False, is a folder, or its folder does not exist.
    """
    if path is None:
        return
    if path.is_dir():
        raise RunError(f"{path} is a folder; expected a file")
    if path.exists() and not overwrite:
        raise RunError(f"{path} exists; --overwrite replaces it, or name another file")
    if not path.parent.is_dir():
        raise RunError(f"{path} cannot be written: there is no folder {str(path.parent)!r}")


@contextlib.contextmanager
def atomic_writer(path: Path | None) -> Iterator[Any]:
    """Open a text file that appears at `path` only once it is complete; yield None for no path."""
    if path is None:
        yield None
        return
    partial = partial_path(path)
    try:
        with partial.open("w", encoding="utf-8") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
