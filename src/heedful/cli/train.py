"""`heedful train TASK` and `heedful config TASK`: one command per entry of the task table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final

import typer

from heedful.cli.command import HeedfulCommand
from heedful.cli.options import (
    ConfigFile,
    InitFrom,
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
    ("init_from", InitFrom, None),
    ("json", Json, False),
    ("quiet", Quiet, False),
)


class TrainCommand(HeedfulCommand):
    """A command whose error for an unknown option names the setting of that name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # NoSuchOption of click, or of the copy of click inside typer
            option = getattr(error, "option_name", None)
            # a misspelt option is named by click, without the second that importing PyTorch takes
            is_misspelt = option is not None and get_close_matches(
                option, self._options(), cutoff=0.8
            )
            if option is not None and not is_misspelt and hasattr(error, "message"):
                error.message += _setting_hint(str(self.name), option)
            raise

    def _options(self) -> list[str]:
        return ["--help", *(name for each in self.params for name in each.opts)]


def _setting_hint(task: str, option: str) -> str:
    from heedful.config import settings_of_key
    from heedful.tasks.table import TASKS

    settings = settings_of_key(TASKS[task].configuration, option.lstrip("-").replace("-", "_"))
    return f"; it is a setting: write --set {next(iter(settings))}=VALUE" if settings else ""


def train_command(name: str, entry: TaskEntry) -> Callable[..., None]:
    """Return the function behind `heedful train TASK`, with a parameter for each task option."""

    def train(**given: Any) -> None:
        from heedful.cli import train_run

        options = train_run.RunOptions(
            out=given["out"],
            config=given["config"],
            resume=given["resume"],
            overwrite=given["overwrite"],
            init_from=given["init_from"],
        )
        output = Output(json=given["json"], quiet=given["quiet"])
        train_run.train(_train_arguments(name, entry.all_options, given), options, output)

    files, others = entry.all_options[:2], entry.all_options[2:]
    own = [*map(parameter, files), ("out", RunOut, None), *map(parameter, others)]
    return with_parameters(train, [*own, *SHARED_PARAMETERS], entry.train_help(name))


def config_command(name: str, entry: TaskEntry) -> Callable[..., None]:
    """Return the function behind `heedful config TASK`."""
    options = [option for option in entry.all_options if not option.setting.startswith("data.")]

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
