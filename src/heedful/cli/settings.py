"""The configuration of a training, put together from a file and from options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heedful.config import apply_overrides, build, read_configuration, read_toml
from heedful.run_folder import CONFIGURATION
from heedful.tasks.options import GivenOptions
from heedful.tasks.table import ENTRIES, TASKS


@dataclass(frozen=True, kw_only=True)
class TaskChoices:
    """What was given on the command line for a task."""

    task: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """Name of an option of the task -> its value, of those that were given."""
    sets: Sequence[str] = ()
    """Of `--set`."""

    def overrides(self, in_file: Mapping[str, Any]) -> list[str]:
        """Return everything but `sets` as `section.key=value`; `in_file` is what the file says.

        Raises: OptionError for a value that does not exist, or does not go with the file.
        """
        chosen = GivenOptions(self.values, in_file, self.sets, self.task)
        return [
            override
            for option in ENTRIES[self.task].options
            if self.values.get(option.name)
            for override in option.overrides(self.values[option.name], chosen)
        ]

    def any(self) -> bool:
        """Whether anything was given."""
        return bool(self.overrides({}) or self.sets)


def configure(path: Path | None, choices: TaskChoices) -> Any:
    """Lay the choices over the configuration file, or over the defaults; `--set` comes last.

    Raises: OptionError naming file and line, or the option, and the nearest valid name.
    """
    kind = TASKS[choices.task].configuration
    values = {} if path is None else apply_overrides(kind, read_toml(path), ())
    overrides = [*choices.overrides(values), *choices.sets]
    if path is not None:
        return read_configuration(kind, path, overrides)
    return build(kind, apply_overrides(kind, {}, overrides))


def configure_run(path: Path | None, choices: TaskChoices, run: Path | None) -> Any:
    """As `configure`; for a run that is resumed, its own configuration is the base unless a file is given.

    Raises: OptionError as `configure`; RunError for a folder that holds no such run.
    """
    if run is None:
        return configure(path, choices)
    config = TASKS[choices.task].load_config(run)
    if path is None and not choices.any():
        return config
    return configure(path or run / CONFIGURATION, choices)
