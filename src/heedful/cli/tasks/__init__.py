"""What each command does for each task: one file a task and command, behind one table."""

from __future__ import annotations

from collections.abc import Callable

from heedful.cli.tasks.base import TaskCommands


def _translate() -> TaskCommands:
    from heedful.cli.tasks.translate import COMMANDS

    return COMMANDS


def _tag() -> TaskCommands:
    from heedful.cli.tasks.tag import COMMANDS

    return COMMANDS


def _classify() -> TaskCommands:
    from heedful.cli.tasks.text import CLASSIFY_COMMANDS

    return CLASSIFY_COMMANDS


def _regress() -> TaskCommands:
    from heedful.cli.tasks.text import REGRESS_COMMANDS

    return REGRESS_COMMANDS


TASK_COMMANDS: dict[str, Callable[[], TaskCommands]] = {
    "translate": _translate,
    "tag": _tag,
    "classify": _classify,
    "regress": _regress,
}
"""A task's name -> its commands; they are imported when they are needed, so that --help is quick."""
