"""Options shared by several commands, and commands whose parameters are built from task options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.tasks.options import TaskOption

Run = Annotated[
    Path, typer.Argument(help="Folder of a trained run.", metavar="RUN", show_default=False)
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="End standard output with the results as one line of JSON; messages go to standard error.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only results and errors.")]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ray[://HOST:PORT]",
        help="Run on a Ray cluster: ray is the one that runs here, or this machine; ray://HOST:PORT that of a head.",
        show_default="in processes of this machine",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A,B",
        help="Source and target columns of a table: names, or numbers (1,2) if it has no header.",
        show_default=False,
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Beam size; 1 is greedy search.",
        show_default="the run's setting",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Encoding of the file, such as utf-16, cp1252 (Windows), gb18030 or shift_jis.",
        show_default="the run's",
    ),
]
MaxLine = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=2**30,
        metavar="BYTES",
        help="Maximum length of a line of a text file; a longer one is an error.",
        show_default="the run's, usually 10000000",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Least probability of a predicted label; with one label per text, a text below it is left without.",
        show_default="the run's setting for several labels; none for one",
    ),
]
EdgeFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--edges",
        metavar="FILE",
        help="Tables of edges, for nodes of another graph than that of the training; repeatable.",
        show_default="those of the training",
    ),
]
NodeFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--nodes",
        metavar="FILE",
        help="Tables of nodes, for other graphs than those of the training; repeatable.",
        show_default="those of the training",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override a setting; repeatable. `heedful config TASK` lists all settings.",
        show_default=False,
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder to write the run to.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE.toml", help="Read settings from a file.", show_default=False
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the interrupted run in --out.")]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Also save a plot: .png or .svg.", show_default=False
    ),
]
InitFrom = Annotated[
    Path | None,
    typer.Option(
        "--init-from",
        metavar="RUN",
        help="Start from the weights and settings of a trained run; new words and labels are added.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")]

Parameter = tuple[str, Any, Any]
"""(name, annotation, default) of a command's parameter."""


def parameter(option: TaskOption) -> Parameter:
    """Return a task option as a parameter of a command."""
    typer_option = typer.Option(
        f"--{option.name.replace('_', '-')}",
        metavar=option.metavar or None,
        help=option.help,
        show_default=option.default or False,
    )
    value_type = bool | None if option.flag else list[str] | None if option.many else str | None
    return option.name, Annotated[value_type, typer_option], None


def with_parameters(
    function: Callable[..., None], parameters: Sequence[Parameter], help: str
) -> Callable[..., None]:
    """Set the signature and docstring of a `**kwargs` function, from which typer builds the command."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, keyword, default=d, annotation=a) for n, a, d in parameters]
    )
    function.__annotations__ = {name: annotation for name, annotation, _ in parameters}
    function.__doc__ = help
    return function


def with_options(
    function: Callable[..., None], options: Sequence[Parameter], *, after: str
) -> Callable[..., None]:
    """Return a command that passes further options to `function(**kwargs)`, listed after its parameter `after`."""
    parameters: list[Parameter] = []
    for each in inspect.signature(function, eval_str=True).parameters.values():
        if each.kind is not inspect.Parameter.VAR_KEYWORD:
            parameters.append((each.name, each.annotation, each.default))
        if each.name == after:
            parameters += options

    def command(**arguments: Any) -> None:
        function(**arguments)

    command.__name__ = function.__name__.removeprefix("_")
    return with_parameters(command, parameters, function.__doc__ or "")


def with_task_options(
    function: Callable[..., None], options: Sequence[TaskOption], *, after: str
) -> Callable[..., None]:
    """Do as `with_options` for task options."""
    return with_options(function, [parameter(each) for each in options], after=after)
