"""Which options of a command have an effect on a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heedful.errors import OptionError
from heedful.tasks.base import Task


def check_options(task: Task, given: Mapping[str, Any]) -> None:
    """Raise OptionError for an option that was given and has no effect on a task.

    Args:
        task: of the run.
        given: the options of which only some tasks know; None, 0, False or empty where they were not given.
    """
    known = task.answer.search_options | task.answer.command_options
    for section, name in (("data", "columns"), ("prediction", "column")):
        field = task.configuration.model_fields.get(section)
        if field is not None and name in getattr(field.annotation, "model_fields", ()):
            known |= {name}
    for name, value in given.items():
        if value is not None and value is not False and name not in known:
            raise OptionError(
                f"--{name.replace('_', '-')} means nothing to a run of {task.name!r}; leave it out"
            )


def search_of(task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are keywords of `Predictor.predict`, of those that were given."""
    names = task.answer.search_options
    return {name: value for name, value in given.items() if name in names and value is not None}
