"""Build the configuration of a training from a file and command-line options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from heedful.config import apply_overrides, build, locate_key, read_toml_lines
from heedful.run_folder import configuration_file
from heedful.tasks.options import GivenOptions
from heedful.tasks.table import ENTRIES, TASKS


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """The command-line settings of `heedful train TASK` and `heedful config TASK`."""

    task: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """Name of a task option -> its value, for the options given."""
    sets: Sequence[str] = ()
    """Values of `--set`."""

    def overrides(self, in_file: Mapping[str, Any]) -> list[str]:
        """Return the task options, without `sets`, as `section.key=value`; `in_file` holds the file's settings.

        Raises: OptionError for an invalid value, or one that conflicts with the file.
        """
        given = GivenOptions(self.values, in_file, self.sets, self.task)
        return [
            override
            for option in ENTRIES[self.task].all_options
            if self.values.get(option.name)
            for override in option.overrides(self.values[option.name], given)
        ]

    def any(self) -> bool:
        """Whether any option was given."""
        return bool(self.overrides({}) or self.sets)


def configure(path: Path | None, arguments: TrainArguments, first: Sequence[str] = ()) -> Any:
    """Apply `first`, the options, then `--set`, to the configuration file or the defaults.

    Raises: OptionError naming file and line, or the option, and the nearest valid name.
    """
    config_type = TASKS[arguments.task].configuration
    values, lines = ({}, []) if path is None else read_toml_lines(path)
    overrides = [*first, *arguments.overrides(values), *arguments.sets]
    where = None if path is None else partial(locate_key, path, lines)
    return build(config_type, apply_overrides(config_type, values, overrides), where)


NO_DATA = ("data.train=[]", "data.valid=[]")
"""Overrides that leave out the data of another run."""


def configure_run(
    path: Path | None, arguments: TrainArguments, run: Path | None, *, new_data: bool = False
) -> Any:
    """As `configure`, but without a file the options apply to the configuration of a `run`, if any.

    With `new_data`, its training and validation data are left out.

    Raises: OptionError as `configure`; RunError for a folder without a run of this task.
    """
    if run is None:
        return configure(path, arguments)
    config = TASKS[arguments.task].load_config(run)
    if path is None and not arguments.any() and not new_data:
        return config
    return configure(path or configuration_file(run), arguments, NO_DATA if new_data else ())
