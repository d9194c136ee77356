"""A run is made in a subfolder of its folder and takes the place of an old one when it can take its first step.

A killed process leaves the old run or the new one; `recover` completes what it left half done.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heedful import run_folder
from heedful.atomic_files import remove_partial_files, sync_folder, write_text, writing
from heedful.config import build, write_toml
from heedful.run_folder import MARKER, STAGED
from heedful.run_lock import LOCK, RunLock
from heedful.tasks.runs import task_of
from heedful.training.checkpoint_manager import CHECKPOINTS, REMOVED
from heedful.training.stage import Stage, read_origin, read_stage
from heedful.training.write_errors import explain_write_errors

BEGUN: Final = ".heedful.begun"
"""The name of `STAGED` once it is complete, until its files are in their places."""


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a subfolder to write a run to, which at the end becomes that of `folder`; the old one is removed.

    After an error the old run is as it was.
    """
    new = folder / STAGED
    shutil.rmtree(new, ignore_errors=True)
    try:
        yield new
        with writing(folder):
            new.rename(folder / BEGUN)
            sync_folder(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    _put_in_place(folder)


def _put_in_place(folder: Path) -> None:
    """Move the files of `BEGUN` to `folder`, the marker first: while it is not there, old files may be."""
    begun = folder / BEGUN
    with writing(folder):
        if (begun / MARKER).exists():
            for path in folder.iterdir():
                if path.name not in (LOCK, BEGUN):
                    _remove(path)
        for path in sorted(begun.iterdir(), key=lambda each: each.name != MARKER):
            path.rename(folder / path.name)
            sync_folder(folder)
        begun.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def recover(folder: Path) -> None:
    """Complete or undo what a killed process left half done in `folder`; other folders are left as they are.

    Raises: RunError naming the process that writes to the folder; WriteError if it cannot be written to.
    """
    if any((folder / name).exists() for name in (MARKER, LOCK, STAGED, BEGUN)):
        with explain_write_errors(folder, begun=lambda: False), RunLock(folder):
            recover_locked(folder)


def recover_locked(folder: Path) -> None:
    """Do as `recover` in a folder whose lock the caller holds."""
    if (folder / BEGUN).exists():
        _put_in_place(folder)
    if not (folder / MARKER).exists():
        return
    for each in (folder, folder / CHECKPOINTS):
        remove_partial_files(each)
    for name in (STAGED, REMOVED):
        shutil.rmtree(folder / name, ignore_errors=True)
    if read_stage(folder) is Stage.CONTINUING:
        kind, origin = task_of(folder).configuration, read_origin(folder, Stage.CONTINUING)
        text = write_toml(build(kind, origin.config or {}))
        write_text(folder / run_folder.CONFIGURATION, text)
