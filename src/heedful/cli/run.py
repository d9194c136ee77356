"""Which task a run folder holds, and so which commands serve it."""

from __future__ import annotations

from pathlib import Path

from heedful.cli.tasks import TASK_COMMANDS
from heedful.cli.tasks.base import TaskCommands
from heedful.errors import RunError
from heedful.tasks.run_folder import read_task


def commands_of(run: Path) -> TaskCommands:
    """Return the commands of the task that a run was trained for.

    Raises: RunError for a folder that is missing, is no run, or is a run of an unknown task.
    """
    name = read_task(run)
    if name not in TASK_COMMANDS:
        raise RunError(
            f"{run} holds a run of {name!r}; this Heedful knows {', '.join(TASK_COMMANDS)}"
        )
    return TASK_COMMANDS[name]()
