"""Options that several commands have, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.tasks.options import TaskOption

Run = Annotated[
    Path, typer.Argument(help="The folder of a trained run.", metavar="RUN", show_default=False)
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="End standard output with one line of JSON; all else goes to standard error."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no advice; results and errors alone.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A,B",
        help="Source and target column of a table, by name, or by number (1,2) where it has no header.",
        show_default=False,
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Hypotheses kept at each step; 1 is greedy.",
        show_default="the run's",
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
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change one setting; can be given again. `heedful config` and the task list them all.",
        show_default=False,
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="The run's folder; made once everything is checked.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE.toml", help="Settings from a file.", show_default=False),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out after an interruption.")
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Also draw a plot: .png or .svg.", show_default=False
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what --out names, if it is there.")
]

Parameter = tuple[str, Any, Any]
"""Name, annotation and default of a parameter of a command."""


def parameter(option: TaskOption) -> Parameter:
    """Return the parameter of a command for an option of a task."""
    described = typer.Option(
        f"--{option.name.replace('_', '-')}",
        metavar=option.metavar or None,
        help=option.help,
        show_default=option.default or False,
    )
    kind = bool | None if option.flag else list[str] | None if option.many else str | None
    return option.name, Annotated[kind, described], None


def with_parameters(
    function: Callable[..., None], parameters: Sequence[Parameter], help: str
) -> Callable[..., None]:
    """Give a function of any keywords the signature that the parser reads."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, keyword, default=d, annotation=a) for n, a, d in parameters]
    )
    function.__annotations__ = {name: annotation for name, annotation, _ in parameters}
    function.__doc__ = help
    return function


def with_more_parameters(
    function: Callable[..., None], options: Sequence[TaskOption], *, after: str
) -> Callable[..., None]:
    """Return a command with parameters for options of tasks, which it takes as keywords."""
    own = inspect.signature(function, eval_str=True).parameters.values()
    found: list[Parameter] = []
    for each in own:
        if each.kind is not inspect.Parameter.VAR_KEYWORD:
            found.append((each.name, each.annotation, each.default))
        if each.name == after:
            found += map(parameter, options)

    def command(**given: Any) -> None:
        function(**given)

    command.__name__ = function.__name__.removeprefix("_")
    return with_parameters(command, found, function.__doc__ or "")
