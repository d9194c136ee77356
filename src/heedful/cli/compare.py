"""`heedful compare`: train several models on the same data with the same budget, and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.cli.options import Json, On, Quiet, Sets, with_task_options
from heedful.cli.output import Output
from heedful.tasks.table import data_options


def _compare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="TASK|FILE.toml",
            help="A task, such as tag, or a TOML file of contenders and common settings.",
            show_default=False,
        ),
    ],
    train: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Training data, as for `heedful train TASK`.", show_default=False
        ),
    ] = None,
    valid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Data to compare the contenders on, in the same format.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to write the report to; an interrupted comparison there is resumed.",
            show_default=False,
        ),
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Compare these encoders, all else equal: {encoders}.",
            show_default=False,
        ),
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Compare with these, which have no network: {baselines}.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Train each contender N times.", show_default="3"),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=N",
            help="Budget of each training: epochs=N, steps=N, tokens=N or seconds=N.",
            show_default="the task's training.epochs",
        ),
    ] = None,
    fractions: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Also train on these fractions of the training data, such as 0.1,0.3.",
            show_default=False,
        ),
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Input lengths at which to measure latency.",
            show_default="8,32,128,512",
        ),
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="QUALITY",
            help="Report the training time to reach this quality.",
            show_default="the best quality that all contenders reach",
        ),
    ] = None,
    on: On = None,
    set_: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
    **columns: Any,
) -> None:
    """Compare models trained on the same data with the same budget.

    Trains each contender with several seeds, prints a table and writes DIR/comparison.json and DIR/comparison.html
    (an offline page): quality with its standard deviation and a significance test, parameters, speed, time to a
    quality, memory, latency by input length, and quality by the amount of training data. Each training is an ordinary
    run in DIR/runs. If one fails, diverges or runs out of memory, the others continue, it is listed with its error, and
    the exit status is 1. After an interruption, run the same command to resume. With --on, trainings run side by side
    on a Ray cluster.

    Example:
        heedful compare tag --train builtin:saw --encoders none,window --seeds 2 --budget steps=60 --out reports/saw
        heedful compare tag --train train.conllu --valid dev.conllu --encoders lstm,transformer --out reports/tags
        heedful compare classify --train train.tsv --text sentence --encoders none,lstm --out reports/mood
        heedful compare regress-molecules --train measured.csv --target logS --encoders gat --baselines boosting --out m
        heedful compare encoders.toml --budget tokens=2e6 --seeds 1 --fractions 0.1,0.3 --out reports/parts
    """
    from heedful.cli.compare_run import run_comparison
    from heedful.cli.compare_settings import CompareArguments

    given = {"train": train, "valid": valid, **columns}
    arguments = CompareArguments(
        values={name: value for name, value in given.items() if value},
        encoders=encoders,
        baselines=baselines,
        seeds=seeds,
        budget=budget,
        fractions=fractions,
        lengths=lengths,
        quality=quality,
        sets=set_ or (),
    )
    run_comparison(source, arguments, out, Output(json=json, quiet=quiet), on)


compare = with_task_options(_compare, data_options(), after="out")
