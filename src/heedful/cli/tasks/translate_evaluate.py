"""`heedful evaluate` for translations."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from heedful.cli import pairs
from heedful.cli.output import Output, duration
from heedful.cli.progress import watched
from heedful.cli.tasks.base import EvaluateOptions
from heedful.errors import OptionError
from heedful.tasks.metrics import (
    LengthScores,
    TranslationScores,
    score_by_length,
    score_translations,
)
from heedful.tasks.translation import Translator


def evaluate(run: Path, options: EvaluateOptions, output: Output) -> None:
    """Translate the source side of pairs and compare with their target side."""
    test, beam = options.test, options.beam
    config = Translator.load_config(run)
    if not test and not pairs.is_builtin(config.data.train):
        raise OptionError("--test is missing: name pairs that were not in the training")
    names = pairs.split_columns(options.columns) or config.data.columns
    found = pairs.read(test or config.data.train, names, "test")
    translator = Translator.load(run)
    began = time.monotonic()
    translated = watched(translator.translate(found.source, beam=beam), len(found), output)
    texts = [best.text for best, *_ in translated]
    scores = score_translations(texts, found.target)
    groups = score_by_length(found.source, texts, found.target) if options.by_length else []
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
            **({"by_length": [asdict(group) for group in groups]} if options.by_length else {}),
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
