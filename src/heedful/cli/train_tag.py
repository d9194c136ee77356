"""`heedful train tag`: a tagger from a person's own files."""

from __future__ import annotations

from typing import Annotated

import typer

from heedful.cli.options import (
    ConfigFile,
    Encoder,
    Json,
    LabelColumn,
    Overwrite,
    Quiet,
    Resume,
    RunOut,
    Sets,
)
from heedful.cli.output import Output


def train_tag(
    train: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Labelled sentences: .conllu, .conll (a token and its label a line) or .jsonl, .gz too; "
            "can be given again.",
            show_default=False,
        ),
    ] = None,
    valid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Sentences to choose the best weights by, given likewise.",
            show_default=False,
        ),
    ] = None,
    out: RunOut = None,
    column: LabelColumn = None,
    encoder: Encoder = None,
    config: ConfigFile = None,
    set_: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a tagger: a label for each token.

    Parts of speech, features, named entities: whatever stands in a column of CoNLL-U, in the last column of a
    CoNLL file, or under "tags" in JSON lines. Everything is checked before --out is touched. The run's folder
    holds the configuration, the vocabulary, the best weights, metrics.jsonl and report.html.

    Example:
        heedful train tag --train train.conllu --valid dev.conllu --out runs/pos
        heedful train tag --train train.conllu --valid dev.conllu --column Number --encoder window --out runs/number
        heedful train tag --train train.conll --valid dev.conll --set labels.chain=true --out runs/entities
        heedful train tag --resume --out runs/pos
    """
    from heedful.cli.settings import TaggingChoices
    from heedful.cli.training import Start, train_for_a_person

    choices = TaggingChoices(
        train=train or (), valid=valid or (), column=column, encoder=encoder, sets=set_ or ()
    )
    start = Start(out=out, config=config, resume=resume, overwrite=overwrite)
    train_for_a_person(choices, start, Output(json=json, quiet=quiet))
