"""A finished run whose report is missing gives its last event again, so that the report is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from heedful import run_folder
from heedful.data.dataset import Dataset
from heedful.run_lock import RunLock
from heedful.tasks.base import Task
from heedful.training.checkpoint_manager import CheckpointManager
from heedful.training.checks import texts_digest
from heedful.training.events import Event, Finished
from heedful.training.processes import Processes
from heedful.training.resume_checks import check_same_data, setting_changes
from heedful.training.stage import Stage, read_origin, read_stage
from heedful.training.staging import recover_locked
from heedful.training.write_errors import explain_write_errors


def lacks_only_report(task: Task, folder: Path, config: Any) -> bool:
    """Whether the run in `folder` has finished with this configuration and has no report.

    Raises: RunError for a damaged run.
    """
    if read_stage(folder) is not Stage.FINISHED or (folder / run_folder.REPORT).exists():
        return False
    own = task.load_config(folder)
    return not setting_changes(own.model_dump(), config.model_dump())


def finish_again(
    task: Task, folder: Path, train: Dataset, valid: Dataset, processes: Processes
) -> Iterator[Event]:
    """Yield the event with which the run in `folder` ended, and keep the folder locked meanwhile.

    Of several processes the first one reads and locks the folder.

    Raises: RunError if a process writes to the folder, or for other data than those of the run.
    """
    if not processes.is_first:
        yield processes.share(None)  # type: ignore[misc]  # what the first one shares is an event
        return
    with explain_write_errors(folder), RunLock(folder):
        recover_locked(folder)
        data = texts_digest(train.texts(), valid.texts())
        check_same_data(task, folder, read_origin(folder, Stage.FINISHED), data)
        finished = CheckpointManager(folder).finished()
        names = [each.name for each in fields(Finished) if each.name in finished]
        values = {name: finished[name] for name in names} | {"run": folder}
        yield processes.share(Finished(**values))
