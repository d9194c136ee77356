"""`heedful evaluate`: figures of merit on data that a run has never seen."""

from __future__ import annotations

from typing import Annotated

import typer

from heedful.cli.options import Beam, Columns, Json, Quiet, Run
from heedful.cli.output import Output


def evaluate(
    run: Run,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SRC TGT",
            help="For a translator two line-aligned files, a table with --columns, or builtin:dates; for a "
            "tagger a file of labelled tokens.",
            show_default="the test part of the built-in corpus, for a run trained on one",
        ),
    ] = None,
    columns: Columns = None,
    beam: Beam = None,
    by_length: Annotated[
        bool,
        typer.Option("--by-length", help="BLEU also for short, middling and long sources apart."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run on data it has never seen.

    A translator translates the source side of pairs and compares with their target side: sacreBLEU and chrF with
    their signatures, so that others can compare, the share of exact matches, and the BLEU of lower-cased tokenized
    text, in which many papers report Multi30k. A tagger labels sentences: accuracy, also on unknown words, macro F1,
    F1 of spans where labels mark some, and the labels most often confused.

    Example:
        heedful evaluate runs/en-de --test test.en test.de --beam 5
        heedful evaluate runs/en-de --test test.en test.de --by-length --json
    """
    from heedful.cli.run import commands_of
    from heedful.cli.tasks.base import EvaluateOptions

    options = EvaluateOptions(test=test, columns=columns, beam=beam, by_length=by_length)
    commands_of(run).evaluate(run, options, Output(json=json, quiet=quiet))
