"""`heedful replicate`: one model on several divisions of a table, tested on each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.cli.options import Json, Quiet, Sets, with_task_options
from heedful.cli.output import Output
from heedful.tasks.options import ENCODER
from heedful.tasks.table import data_options


def _replicate(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="A task on molecules, such as regress-molecules.",
            show_default=False,
        ),
    ],
    train: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="The table that is divided.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for splits.json, the runs and replicates.json; what is finished there is not done again.",
            show_default=False,
        ),
    ] = None,
    replicates: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Divisions by --split, one seed after another."),
    ] = 3,
    folds: Annotated[
        int | None,
        typer.Option(
            min=3,
            metavar="K",
            help="K random folds instead: each molecule is in one test part.",
            show_default=False,
        ),
    ] = None,
    ensemble: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Networks whose mean is predicted, the setting ensemble.members.",
            show_default="1",
        ),
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Test these too, on the same parts: {baselines}.",
            show_default=False,
        ),
    ] = None,
    set_: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
    **columns: Any,
) -> None:
    """Train and test a model on several divisions of a table of molecules.

    Writes the parts to DIR/splits.json, which chemprop reads too, trains a run on each, tests it on the test part, and
    prints the metric with its standard deviation over the divisions and, for numbers, how often the intervals hold the
    truth. After an interruption, run the same command to resume.

    Example:
        heedful replicate regress-molecules --train measured.csv --target logS --baselines mean,boosting --out reps
        heedful replicate regress-molecules --train measured.csv --target logS --folds 5 --ensemble 5 --out folds
        heedful replicate classify-molecules --train toxic.csv --label toxic --split scaffold_balanced --out toxic
    """
    from heedful.cli.replicate_run import ReplicateArguments, run

    given = {"train": train, **columns}
    arguments = ReplicateArguments(
        task=task,
        values={name: value for name, value in given.items() if value},
        count=folds or replicates,
        is_folded=folds is not None,
        ensemble=ensemble,
        baselines=baselines or "",
        sets=set_ or (),
    )
    run(arguments, out, Output(json=json, quiet=quiet))


replicate = with_task_options(_replicate, [*data_options(), ENCODER], after="out")
