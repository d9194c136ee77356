"""`heedful compare`: several models on the same data with the same budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.cli.options import Json, Quiet, Sets, with_more_parameters
from heedful.cli.output import Output
from heedful.tasks.table import data_options


def _compare(
    what: Annotated[
        str,
        typer.Argument(
            metavar="TASK|FILE.toml",
            help="A task, such as tag, or a file with the contenders and their common settings.",
            show_default=False,
        ),
    ],
    train: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="As in `heedful train` of the task.", show_default=False),
    ] = None,
    valid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="What the contenders are compared on, given likewise.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The report's folder; one that holds this comparison is gone on with.",
            show_default=False,
        ),
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Contenders that differ in their encoder alone: {encoders}.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Trainings of each contender.", show_default="3"),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=N",
            help="What each training may spend: epochs=N, steps=N, tokens=N or seconds=N.",
            show_default="the task's epochs",
        ),
    ] = None,
    fractions: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Also learn from parts of the training data, such as 0.1,0.3.",
            show_default=False,
        ),
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Lengths at which the time of one answer is measured.",
            show_default="8,32,128,512",
        ),
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="QUALITY",
            help="Report the time to this quality.",
            show_default="what all contenders reach",
        ),
    ] = None,
    set_: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
    **columns: Any,
) -> None:
    """Compare models: each is trained on the same data, with the same budget, from several seeds.

    The report (a table here, DIR/comparison.json and DIR/comparison.html, which needs no network) tells quality
    with its spread and a significance test, parameters, speed, time to a quality, memory, the time of one answer by
    its length, and how quality grows with the data. Every training is an ordinary run in DIR/runs. One that fails
    does not lose the others; stopped, the same command goes on.

    Example:
        heedful compare tag --train builtin:saw --encoders none,window --seeds 2 --budget steps=60 --out reports/saw
        heedful compare tag --train train.conllu --valid dev.conllu --encoders lstm,transformer --out reports/tags
        heedful compare classify --train train.tsv --text sentence --encoders none,lstm --out reports/mood
        heedful compare encoders.toml --budget tokens=2e6 --seeds 1 --fractions 0.1,0.3 --out reports/parts
    """
    from heedful.cli.compare_settings import CompareChoices
    from heedful.cli.comparing import run_comparison

    given = {"train": train, "valid": valid, **columns}
    choices = CompareChoices(
        values={name: value for name, value in given.items() if value},
        encoders=encoders,
        seeds=seeds,
        budget=budget,
        fractions=fractions,
        lengths=lengths,
        quality=quality,
        sets=set_ or (),
    )
    run_comparison(what, choices, out, Output(json=json, quiet=quiet))


compare = with_more_parameters(_compare, data_options(), after="out")
