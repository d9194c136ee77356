"""`heedful train translate`: a translator from a person's own files."""

from __future__ import annotations

from typing import Annotated

import typer

from heedful.cli.options import (
    Attention,
    Columns,
    ConfigFile,
    Json,
    Model,
    Overwrite,
    Quiet,
    Resume,
    RunOut,
    Sets,
)
from heedful.cli.output import Output


def train_translate(
    train: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SRC TGT",
            help="Two line-aligned files (.gz too); or one .tsv, .csv or .jsonl table with --columns; "
            "or builtin:dates, builtin:numbers.",
            show_default=False,
        ),
    ] = None,
    valid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SRC TGT",
            help="Pairs to choose the best weights by, given likewise; built-in corpora bring their own.",
            show_default=False,
        ),
    ] = None,
    out: RunOut = None,
    columns: Columns = None,
    model: Model = None,
    attention: Attention = None,
    config: ConfigFile = None,
    set_: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a translator on pairs of texts.

    Languages, spellings, notations: whatever turns one line into another.

    Two files with a text a line are enough; the vocabulary is made from them. Everything is checked before
    --out is touched. The run's folder holds the configuration, the vocabulary, the best weights, metrics.jsonl
    and report.html.

    Example:
        heedful train translate --train train.en train.de --valid valid.en valid.de --out runs/en-de
        heedful train translate --train train.tsv --valid valid.tsv --columns en,de --out runs/table
        heedful train translate --train builtin:dates --model gru --attention additive --out runs/dates
        heedful train translate --resume --out runs/en-de
    """
    from heedful.cli.pairs import split_columns
    from heedful.cli.settings import TranslationChoices
    from heedful.cli.training import Start, train_for_a_person

    choices = TranslationChoices(
        train=train or (),
        valid=valid or (),
        columns=split_columns(columns),
        model=model,
        attention=attention,
        sets=set_ or (),
    )
    start = Start(out=out, config=config, resume=resume, overwrite=overwrite)
    train_for_a_person(choices, start, Output(json=json, quiet=quiet))
