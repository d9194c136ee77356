"""The moments of a run's life, as its folder shows them."""

from __future__ import annotations

import enum
import json
from pathlib import Path

from heedful import run_folder
from heedful.errors import RunError
from heedful.run_folder import read_metadata
from heedful.training.checkpoint import Origin
from heedful.training.checkpoint_manager import CheckpointManager


class Stage(enum.Enum):
    """How far a run is; whether a process trains it at the moment is what `RunLock` says."""

    NO_RUN = enum.auto()
    """There is no run, and none was begun."""
    NEVER_BEGAN = enum.auto()
    """A training ended before its first checkpoint, or the folder is empty; there is nothing to resume."""
    TRAINING = enum.auto()
    """There is a checkpoint to resume from."""
    CONTINUING = enum.auto()
    """A finished run is being reopened for more epochs; resuming repeats that."""
    FINISHED = enum.auto()
    """The trained model is complete; its report may be missing."""
    NO_CHECKPOINT = enum.auto()
    """There are weights, but neither a checkpoint nor the end of the training."""


def read_stage(folder: Path) -> Stage:
    """Return how far the run in `folder` is.

    Raises: RunError for a damaged metrics.jsonl.
    """
    checkpoints = CheckpointManager(folder)
    if not (folder / run_folder.MARKER).exists():
        is_free = folder.is_dir() and not run_folder.entries(folder)
        return Stage.NEVER_BEGAN if is_free else Stage.NO_RUN
    if checkpoints.continuation.exists():
        return Stage.CONTINUING
    if checkpoints.state_files:
        return Stage.TRAINING
    metrics = checkpoints.metrics()
    if metrics and metrics[-1]["event"] == "finished":
        return Stage.FINISHED
    has_weights = (folder / run_folder.WEIGHTS).exists()
    return Stage.NO_CHECKPOINT if has_weights else Stage.NEVER_BEGAN


def read_origin(folder: Path, stage: Stage) -> Origin:
    """Return what the training in `folder` was begun with, at a stage at which there is something to resume.

    Raises: RunError if no file that says so can be read.
    """
    checkpoints = CheckpointManager(folder)
    if stage is Stage.FINISHED:
        finished = checkpoints.finished()
        return Origin(finished.get("config"), finished.get("data"))
    if stage is Stage.CONTINUING:
        content = json.loads(checkpoints.continuation.read_text(encoding="utf-8"))
        return Origin(content["config"], content["data"])
    errors: list[str] = []
    for path in checkpoints.state_files:
        try:
            return Origin.from_metadata(read_metadata(path))
        except RunError as error:
            errors.append(str(error))
    raise RunError("; ".join(errors))
