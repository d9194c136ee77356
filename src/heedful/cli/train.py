"""`heedful train TASK` and `heedful config TASK`: a command a task, made from the table of tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import typer

from heedful.cli.options import (
    ConfigFile,
    Json,
    Overwrite,
    Parameter,
    Quiet,
    Resume,
    RunOut,
    Sets,
    parameter,
    with_parameters,
)
from heedful.cli.output import Output
from heedful.tasks.options import TaskOption
from heedful.tasks.table import TaskEntry

SHARED: Final[Sequence[Parameter]] = (
    ("config", ConfigFile, None),
    ("set_", Sets, None),
    ("resume", Resume, False),
    ("overwrite", Overwrite, False),
    ("json", Json, False),
    ("quiet", Quiet, False),
)


def train_command(name: str, entry: TaskEntry) -> Callable[..., None]:
    """Return the function of `heedful train` of a task, with a parameter for each of its options."""

    def train(**given: Any) -> None:
        from heedful.cli import training

        start = training.Start(
            out=given["out"],
            config=given["config"],
            resume=given["resume"],
            overwrite=given["overwrite"],
        )
        output = Output(json=given["json"], quiet=given["quiet"])
        training.train(_choices(name, entry.options, given), start, output)

    files, others = entry.options[:2], entry.options[2:]
    own = [*map(parameter, files), ("out", RunOut, None), *map(parameter, others)]
    return with_parameters(train, [*own, *SHARED], entry.train_help(name))


def config_command(name: str, entry: TaskEntry) -> Callable[..., None]:
    """Return the function of `heedful config` of a task."""
    options = [option for option in entry.options if not option.setting.startswith("data.")]

    def config(**given: Any) -> None:
        from heedful.cli.output import write_json
        from heedful.cli.settings import configure
        from heedful.config import write_toml

        found = configure(None, _choices(name, options, given))
        if given["json"]:
            write_json(found.model_dump(mode="json"))
        else:
            typer.echo(write_toml(found), nl=False)

    shared = [each for each in SHARED if each[0] in ("set_", "json", "quiet")]
    own = [parameter(option) for option in options]
    return with_parameters(config, [*own, *shared], entry.config_help(name))


def _choices(name: str, options: Sequence[TaskOption], given: dict[str, Any]) -> Any:
    from heedful.cli.settings import TaskChoices

    values = {each.name: given[each.name] for each in options if given[each.name] is not None}
    return TaskChoices(task=name, values=values, sets=given["set_"] or ())
