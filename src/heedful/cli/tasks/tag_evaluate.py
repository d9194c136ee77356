"""`heedful evaluate` for taggers."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from heedful.cli.labelled import read
from heedful.cli.output import Output, duration
from heedful.cli.progress import watched
from heedful.cli.tasks.base import EvaluateOptions, refuse_others
from heedful.errors import OptionError
from heedful.tasks.tagging import Tagger
from heedful.tasks.tagging_metrics import TaggingScores


def evaluate(run: Path, options: EvaluateOptions, output: Output) -> None:
    """Label sentences and compare with their labels."""
    refuse_others(options, "tag", ["test"])
    config = Tagger.load_config(run)
    if not options.test:
        raise OptionError("--test is missing: name a file that was not in the training")
    data = read(options.test, config.data, "test")
    tagger = Tagger.load(run)
    began = time.monotonic()
    tokens = (sentence.tokens for sentence in data.sentences)
    got = list(watched(tagger.tag(tokens), len(data), output, unit="sentences"))
    seconds = time.monotonic() - began
    scores = tagger.score(data, got)
    speed = scores.tokens / max(seconds, 1e-9)
    output.say(f"{data.name}: {len(data):,} sentences, {scores.tokens:,} tokens")
    output.table(_rows(scores))
    if scores.confusions:
        most = [[one.wanted, one.got, f"{one.count:,}"] for one in scores.confusions]
        output.table([["", "", ""], ["true label", "given", "times"], *most])
    output.say(f"{speed:,.0f} tokens/s; {duration(seconds)}")
    output.result(
        {
            "run": str(run),
            "sentences": len(data),
            "seconds": seconds,
            "tokens_per_second": speed,
            **asdict(scores),
        }
    )


def _rows(scores: TaggingScores) -> list[list[str]]:
    rows = [["accuracy", f"{scores.accuracy:.4f}", ""]]
    if scores.unknown_accuracy is not None:
        what = f"on {scores.unknown:,} tokens"
        rows.append(["accuracy, unknown words", f"{scores.unknown_accuracy:.4f}", what])
    rows.append(["macro F1", f"{scores.macro_f1:.4f}", ""])
    if scores.span_f1 is not None:
        rows.append(["span F1", f"{scores.span_f1:.4f}", "seqeval"])
    if scores.span_breaks is not None:
        rows.append(["labels that break spans", f"{scores.span_breaks:,}", "such as I-X after O"])
    return [*rows, ["sentences all right", f"{scores.sentences_right:.4f}", ""]]
