"""Whether the run of a folder can be resumed or continued with a configuration and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from heedful import run_folder
from heedful.config import build
from heedful.errors import OptionError, RunError
from heedful.tasks.base import Task
from heedful.training.checkpoint import Origin
from heedful.training.stage import Stage, read_origin, read_stage

BUDGET: Final = frozenset({"epochs", "max_steps", "max_tokens", "max_seconds", "patience"})
"""Settings of `training` that limit a run; at least one differs when a finished run is continued."""
RESUMABLE: Final = tuple(
    f"training.{name}:"
    for name in (
        "learning_rate", "clip_norm", "skip_nonfinite", "checkpoint_steps", "checkpoint_minutes", "progress_steps",
        "devices", "nodes", "strategy", "peer_seconds",
    )
)  # fmt: skip
"""How a change of a setting begins that may differ when an interrupted run is resumed, as after it diverged."""
EDITABLE: Final = ("training.", "prediction.", "decoding.")
"""Sections whose settings may be edited in the configuration file of a finished run: they are not of the model."""


def check_began(folder: Path) -> None:
    """Raise RunError for a folder in which a training ended before its first checkpoint."""
    if read_stage(folder) is Stage.NEVER_BEGAN:
        raise RunError(
            f"the training in {folder} never began: it was stopped before its first checkpoint, so there is nothing "
            "to resume. Start it again, with --overwrite instead of --resume (in Python overwrite=True)"
        )


def check_resumable(task: Task, folder: Path, config: Any, new: Origin) -> list[str]:
    """Check that `folder` holds a run that this configuration and these data can resume or continue.

    Args:
        task: the task.
        folder: the run folder.
        config: the configuration to resume with.
        new: what the training is resumed with.

    Returns: warnings about edited settings, of which a resumed training takes notice.

    Raises: RunError naming the settings that differ, or the reason.
    """
    check_began(folder)
    run_folder.check(folder, task.name)
    stage, file = read_stage(folder), task.load_config(folder)
    if stage is Stage.NO_CHECKPOINT:
        raise RunError(
            f"{folder} has no checkpoint to resume from, and its training has not finished; what is left are weights. "
            "Start a new run from them with --init-from, or train again with --overwrite"
        )
    origin = read_origin(folder, stage)
    edited = _edited_settings(task, folder, file, origin)
    if stage is Stage.FINISHED:
        return _check_finished(folder, file, config, edited)
    path = folder / run_folder.CONFIGURATION
    if fixed := _without(edited, RESUMABLE):
        raise RunError(
            f"{path} was edited since the training began: {'; '.join(fixed)}. Restore the values before each arrow to "
            "resume, or start a new run from its weights with --init-from"
        )
    changes = setting_changes(file.model_dump(), config.model_dump())
    if fixed := _without(changes, RESUMABLE):
        raise RunError(_difference(folder, fixed))
    if run_folder.read_format(folder) < run_folder.FORMAT:
        raise RunError(
            f"the run in {folder} was begun by an older Heedful; finish it with that version, or train a new run"
        )
    check_same_data(task, folder, origin, new.data)
    return [f"{path} was edited since the training began: {'; '.join(edited)}"] if edited else []


def _without(changes: Sequence[str], allowed: tuple[str, ...]) -> list[str]:
    return [change for change in changes if not change.startswith(allowed)]


def check_same_data(task: Task, folder: Path, origin: Origin, data: str | None) -> None:
    """Raise RunError if a training began with data of another digest."""
    if origin.data not in (None, data):
        raise RunError(
            f"the training or validation {task.examples} differ from those that the run in {folder} "
            "started with; restore the files, or train a new run"
        )


def _check_finished(folder: Path, file: Any, config: Any, edited: Sequence[str]) -> list[str]:
    """Check that a finished run can be continued, and return what was edited in its configuration file."""
    path = folder / run_folder.CONFIGURATION
    if fixed := _without(edited, EDITABLE):
        raise RunError(
            f"{path} was edited since the run finished: {'; '.join(fixed)}. Restore the values before each arrow"
        )
    changes = setting_changes(file.model_dump(), config.model_dump())
    if fixed := _without(changes, ("training.",)):
        raise RunError(_difference(folder, fixed))
    notices = [f"{path} was edited since the run finished: {'; '.join(edited)}"] if edited else []
    if not any(
        change.startswith(tuple(f"training.{name}:" for name in BUDGET)) for change in changes
    ):
        raise RunError(
            f"the run in {folder} has finished; there is nothing to resume. Give more epochs to continue it, as in "
            f"--epochs {2 * file.training.epochs}{''.join(f' ({each})' for each in notices)}"
        )
    return notices


def _difference(folder: Path, changes: Sequence[str]) -> str:
    return (
        f"the settings differ from those of the run in {folder}: {'; '.join(changes)}. Resume it with its own, or "
        "start a new run from its weights with --init-from"
    )


def _edited_settings(task: Task, folder: Path, file: Any, origin: Origin) -> list[str]:
    """Return the changes from the settings that a training began with to those of its file."""
    if origin.config is None:
        return []
    try:
        own = build(task.configuration, origin.config)
    except OptionError as error:
        raise RunError(
            f"the run in {folder} was begun by another version of Heedful ({error}); finish it with that version"
        ) from None
    return setting_changes(own.model_dump(), file.model_dump())


def setting_changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return a line `section.key: old -> new` for each setting that differs.

    >>> setting_changes({"training": {"epochs": 3, "seed": 0}}, {"training": {"epochs": 5, "seed": 0}})
    ['training.epochs: 3 -> 5']
    """
    changes = []
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += setting_changes(before, after, f"{prefix}{key}.")
        elif before != after:
            changes.append(f"{prefix}{key}: {before} -> {after}")
    return changes
