"""`heedful evaluate`: figures of merit on pairs that a run has never seen."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli.options import Beam, Columns, Json, Quiet, Run
from heedful.cli.output import Output, duration
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.tasks.metrics import LengthScores, TranslationScores


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
    by_length: Annotated[
        bool,
        typer.Option("--by-length", help="BLEU also for short, middling and long sources apart."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run on pairs it has never seen.

    Translates their source side and compares with their target side: sacreBLEU and chrF with their signatures,
    so that others can compare, the share of exact matches, and the BLEU of lower-cased tokenized text, in
    which many papers report Multi30k.

    Example:
        heedful evaluate runs/en-de --test test.en test.de --beam 5
        heedful evaluate runs/en-de --test test.en test.de --by-length --json
    """
    from heedful.cli import pairs
    from heedful.cli.progress import watched
    from heedful.tasks.metrics import score_by_length, score_translations
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
    texts = [best.text for best, *_ in translated]
    scores = score_translations(texts, found.target)
    groups = score_by_length(found.source, texts, found.target) if by_length else []
    seconds = time.monotonic() - began
    output.say(f"{found.name}: {len(found):,} pairs")
    output.table(_score_rows(scores))
    if groups:
        output.table([["source words", "pairs", "BLEU"], *map(_group_row, groups)])
    used = config.decoding.beam if beam is None else beam
    output.say(f"beam {used}; {duration(seconds)}")
    output.result(
        {
            "run": str(run),
            "pairs": len(found),
            "beam": used,
            "seconds": seconds,
            **asdict(scores),
            **({"by_length": [asdict(group) for group in groups]} if by_length else {}),
        }
    )


def _score_rows(scores: TranslationScores) -> list[list[str]]:
    lower = scores.bleu_lowercase_tokenized
    return [
        ["BLEU", f"{scores.bleu:.2f}", scores.bleu_signature],
        ["chrF", f"{scores.chrf:.2f}", scores.chrf_signature],
        ["exact match", f"{scores.exact_match:.4f}", ""],
        ["BLEU, lower-cased, tokenized", f"{lower:.2f}", scores.bleu_lowercase_tokenized_signature],
    ]


def _group_row(group: LengthScores) -> list[str]:
    return [f"{group.shortest}-{group.longest}", f"{group.pairs:,}", f"{group.bleu:.2f}"]
