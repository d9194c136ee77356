"""Options that several commands have, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change one setting; can be given again. `heedful config` and the task list them all.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="{models}.", metavar="NAME", show_default="transformer"),
]
Attention = Annotated[
    str | None,
    typer.Option(
        help="How a query and a key are scored: {scores}; or none: no attention.",
        metavar="NAME",
        show_default="scaled_dot for a transformer, else additive",
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        help="What a token knows of its context: {encoders}.",
        metavar="NAME",
        show_default="lstm",
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Which column holds the labels: upos, xpos, feats, deprel, … or a feature such as Number; in "
        "columns a number, or last; in JSON lines a key.",
        show_default="upos, last or tags",
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="NAME",
        help="Column of the texts; a number, from 1, where the table has no header.",
        show_default="text",
    ),
]
TextLabel = Annotated[
    str | None,
    typer.Option("--label", metavar="NAME", help="Column of the labels.", show_default="label"),
]
TextTarget = Annotated[
    str | None,
    typer.Option("--target", metavar="NAME", help="Column of the numbers.", show_default="target"),
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
TrainTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--train",
        metavar="FILE",
        help="A table with a text and an answer a row: .tsv, .csv or .jsonl, .gz too; can be given again.",
        show_default=False,
    ),
]
ValidTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--valid",
        metavar="FILE",
        help="Texts to choose the best weights by, given likewise.",
        show_default="a tenth of --train, cut off",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what --out names, if it is there.")
]
