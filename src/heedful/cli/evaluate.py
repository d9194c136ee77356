"""`heedful evaluate`: figures of merit on pairs that a run has never seen."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from heedful.cli.options import Beam, Columns, Json, Quiet, Run
from heedful.cli.output import Output, duration
from heedful.errors import OptionError


def evaluate(
    run: Run,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SRC TGT",
            help="Two line-aligned files, a table with --columns, or builtin:dates.",
            show_default="the test part of the built-in corpus, for a run trained on one",
        ),
    ] = None,
    columns: Columns = None,
    beam: Beam = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run on pairs it has never seen.

    Translates their source side and compares with their target side: sacreBLEU and chrF with their signatures,
    so that others can compare, the share of exact matches, and the BLEU of lower-cased tokenized text, in
    which many papers report Multi30k.

    Example:
        heedful evaluate runs/en-de --test test.en test.de --beam 5
        heedful evaluate runs/en-de --test test.en test.de --json
    """
    from heedful.cli import pairs
    from heedful.cli.progress import watched
    from heedful.tasks.metrics import score_translations
    from heedful.tasks.translation import Translator, load_config

    config = load_config(run)
    if not test and not pairs.is_builtin(config.data.train):
        raise OptionError("--test is missing: name pairs that were not in the training")
    names = pairs.split_columns(columns) or config.data.columns
    found = pairs.read(test or config.data.train, names, "test")
    output = Output(json=json, quiet=quiet)
    translator = Translator.load(run)
    began = time.monotonic()
    translated = watched(translator.translate(found.source, beam=beam), len(found), output)
    scores = score_translations([best.text for best, *_ in translated], found.target)
    seconds = time.monotonic() - began
    output.say(f"{found.name}: {len(found):,} pairs")
    output.table(
        [
            ["BLEU", f"{scores.bleu:.2f}", scores.bleu_signature],
            ["chrF", f"{scores.chrf:.2f}", scores.chrf_signature],
            ["exact match", f"{scores.exact_match:.4f}", ""],
            [
                "BLEU, lower-cased, tokenized",
                f"{scores.bleu_lowercase_tokenized:.2f}",
                scores.bleu_lowercase_tokenized_signature,
            ],
        ],
    )
    used = config.decoding.beam if beam is None else beam
    output.say(f"beam {used}; {duration(seconds)}")
    output.result(
        {"run": str(run), "pairs": len(found), "beam": used, "seconds": seconds, **asdict(scores)}
    )
