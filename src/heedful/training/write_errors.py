"""What a training says when a file of its run cannot be written."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from heedful.errors import RunError, WriteError
from heedful.run_folder import read_metadata
from heedful.training.checkpoint import read_position
from heedful.training.checkpoint_manager import CheckpointManager
from heedful.training.stage import Stage, read_stage

REMEDIES: Final = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
    errno.EFBIG: "allow larger files",
    errno.EROFS: "make the folder writable",
    errno.EACCES: "make the folder writable",
    errno.EPERM: "make the folder writable",
}
"""Number of a system error -> how to mend it."""


@contextlib.contextmanager
def explain_write_errors(
    folder: Path, *, begun: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Add to errors of writing what of the run in `folder` is unharmed, and how to go on.

    Args:
        folder: the run folder.
        begun: whether the training has had its first checkpoint in the folder.
    """
    try:
        yield
    except (WriteError, OSError) as error:
        cause = error.cause if isinstance(error, WriteError) else error
        path = error.path if isinstance(error, WriteError) else error.filename or folder
        remedy = REMEDIES.get(cause.errno or 0, "mend that")
        raise WriteError(path, cause, _what_remains(folder, remedy, begun=begun())) from error


def _what_remains(folder: Path, remedy: str, *, begun: bool) -> str:
    if not begun:
        return f"Nothing else was changed: {remedy}, then start the training again"
    stage, go_on = _stage(folder), f"{remedy}, then go on with --resume (in Python resume=True)"
    if stage is Stage.FINISHED:
        return f"The trained model in {folder} is complete, its report is not: {go_on}"
    if stage in (Stage.TRAINING, Stage.CONTINUING):
        return f"{_checkpoint(folder)}: {go_on}"
    return f"The checkpoints in {folder} are gone: {remedy}, then start the training again"


def _stage(folder: Path) -> Stage:
    try:
        return read_stage(folder)
    except (OSError, RunError):
        return Stage.NO_RUN


def _checkpoint(folder: Path) -> str:
    for path in CheckpointManager(folder).state_files:
        try:
            step = read_position(read_metadata(path)).step
        except RunError:
            continue
        return f"The checkpoint of step {step:,} in {path} is unharmed"
    return f"The trained model in {folder} is as it was"
