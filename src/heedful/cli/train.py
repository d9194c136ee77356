"""`heedful train TASK` and `heedful config TASK`: one command per entry of the task table."""

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

SHARED_PARAMETERS: Final[Sequence[Parameter]] = (
    ("config", ConfigFile, None),
    ("set_", Sets, None),
    ("resume", Resume, False),
    ("overwrite", Overwrite, False),
    ("json", Json, False),
    ("quiet", Quiet, False),
)


def train_command(name: str, entry: TaskEntry) -> Callable[..., None]:
    """Return the function behind `heedful train TASK`, with a parameter for each task option."""

    def train(**given: Any) -> None:
        from heedful.cli import train_run

        options = train_run.RunOptions(
            out=given["out"],
            config=given["config"],
            resume=given["resume"],
            overwrite=given["overwrite"],
        )
        output = Output(json=given["json"], quiet=given["quiet"])
        train_run.train(_train_arguments(name, entry.options, given), options, output)

    files, others = entry.options[:2], entry.options[2:]
    own = [*map(parameter, files), ("out", RunOut, None), *map(parameter, others)]
    return with_parameters(train, [*own, *SHARED_PARAMETERS], entry.train_help(name))


def config_command(name: str, entry: TaskEntry) -> Callable[..., None]:
    """Return the function behind `heedful config TASK`."""
    options = [option for option in entry.options if not option.setting.startswith("data.")]

    def config(**given: Any) -> None:
        from heedful.cli.output import write_json
        from heedful.cli.settings import configure
        from heedful.config import write_toml

        configuration = configure(None, _train_arguments(name, options, given))
        if given["json"]:
            write_json(configuration.model_dump(mode="json"))
        else:
            typer.echo(write_toml(configuration), nl=False)

    shared = [each for each in SHARED_PARAMETERS if each[0] in ("set_", "json", "quiet")]
    own = [parameter(option) for option in options]
    return with_parameters(config, [*own, *shared], entry.config_help(name))


def _train_arguments(name: str, options: Sequence[TaskOption], given: dict[str, Any]) -> Any:
    from heedful.cli.settings import TrainArguments

    values = {each.name: given[each.name] for each in options if given[each.name] is not None}
    return TrainArguments(task=name, values=values, sets=given["set_"] or ())
