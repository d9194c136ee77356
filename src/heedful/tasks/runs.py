"""Look up the task of a run folder."""

from __future__ import annotations

from pathlib import Path

from heedful.errors import OptionError, RunError, shown
from heedful.run_folder import read_task
from heedful.tasks.base import Task
from heedful.tasks.table import TASKS


def task_of(run: str | Path) -> Task:
    """Return the task that a run was trained for.

    Raises: RunError for a folder that is missing, is not a run, or is a run of an unknown task.

    >>> task_of("no/such/run")
    Traceback (most recent call last):
    heedful.errors.RunError: run folder 'no/such/run' does not exist
    """
    name = read_task(run)
    if name not in TASKS:
        raise RunError(
            f"{run} is a run of the unknown task {shown(name)}; the tasks are {', '.join(TASKS)}"
        )
    return TASKS[name]


def check_translates(task: Task, run: str | Path) -> None:
    """Raise OptionError for a run of a task that does not read a text and write another."""
    if not (task.answer.search_options and "alignments" in task.answer.command_options):
        raise OptionError(f"this command needs a run of translate; {run} is of {shown(task.name)}")
