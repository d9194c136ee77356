"""The report.html of a run: what it reached, how it got there, what it looked at, what comes next."""

from __future__ import annotations

import json
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heedful.data.files import Pairs
from heedful.explore import (
    AttentionRecord,
    Chart,
    Code,
    Maps,
    MetricTable,
    Paragraph,
    Series,
    record_translation,
    report_page,
    select,
)
from heedful.tasks import run_folder
from heedful.tasks.translation import Translator
from heedful.tasks.translation_config import DataConfig

REPORT = "report.html"
EXAMPLES = 4
LONGEST_EXAMPLE = 60
"""Characters; a map of a longer text is hard to read in a report."""

Commands = list[tuple[str, str]]
"""Each a command to type and what it does."""


def write_report(
    translator: Translator,
    run: Path,
    pairs: Pairs,
    *,
    lead: str = "",
    results: Sequence[MetricTable] = (),
) -> Path:
    """Write the report of a finished training beside its weights and return where it is.

    Args:
        translator: the trained model.
        run: its folder.
        pairs: pairs that were not in the training, of which some are shown.
        lead: what it is about; by default the model and its corpus.
        results: tables that stand before those of the validation.
    """
    config = translator.config
    lead = (
        lead or f"A model of kind {config.model.kind}, trained on {' + '.join(config.data.train)}."
    )
    examples = explained(translator, [source for source, _ in varied(pairs, EXAMPLES)])
    page = report_page(
        f"Heedful: {run.name}",
        [
            Paragraph("", lead),
            *results,
            *([Maps("What it looked at", examples)] if examples else []),
            *validation_sections(read_metrics(run)),
            Code("What next", next_commands(run, pairs, config.data)),
        ],
    )
    run_folder.write_text(run / REPORT, page)
    return run / REPORT


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Read the lines of metrics.jsonl."""
    lines = (run / run_folder.METRICS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def validation_sections(events: Sequence[dict[str, Any]]) -> list[MetricTable | Chart]:
    """Return the validation figures of the kept weights, and the curves by epoch."""
    validated = [event for event in events if event["event"] == "validated"]
    finished = events[-1]
    scores = finished["scores"]
    rows = [
        ["loss", f"{scores['loss']:.3f}"],
        ["BLEU", f"{scores['bleu']:.2f}"],
        ["chrF", f"{scores['chrf']:.2f}"],
        ["exact match", f"{scores['exact_match']:.3f}"],
    ]
    table = MetricTable(
        f"On the validation pairs, greedy (weights kept: {finished['chosen']})",
        ["figure", "value"],
        rows,
    )

    def curve(name: str, *keys: str) -> Series:
        return Series(name, [(event["epoch"], _dig(event, keys)) for event in validated])

    loss = [curve("training", "train_loss"), curve("validation", "scores", "loss")]
    bleu = [curve("BLEU", "scores", "bleu"), curve("chrF", "scores", "chrf")]
    return [
        table,
        Chart("Loss", loss, "epoch", "loss a token"),
        Chart("BLEU and chrF", bleu, "epoch", "validation"),
    ]


def _dig(values: Any, keys: Sequence[str]) -> float:
    for key in keys:
        values = values[key]
    return float(values)


def varied(pairs: Pairs, count: int) -> list[tuple[str, str]]:
    """Choose short pairs that are unlike each other: other scripts first, then sources that share no word."""
    short = [pair for pair in pairs if len(pair[0]) <= LONGEST_EXAMPLE]
    chosen: list[tuple[str, str]] = []
    scripts: set[str] = set()
    words: set[str] = set()

    def take(pair: tuple[str, str]) -> None:
        chosen.append(pair)
        scripts.update(_scripts(pair[0]))
        words.update(_words(pair[0]))

    for pair in short:
        if not _scripts(pair[0]) <= scripts:
            take(pair)
    for pair in short:
        found = _words(pair[0])
        if found and not found & words:
            take(pair)
    chosen += (pair for pair in short if pair not in chosen)
    return chosen[:count]


def _words(text: str) -> set[str]:
    """The words that hold a letter."""
    return {word for word in text.lower().split() if any(map(str.isalpha, word))}


def _scripts(text: str) -> set[str]:
    """The scripts of the letters: the first word of a letter's Unicode name (LATIN, CJK, ...)."""
    return {unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha()}


def explained(
    translator: Translator, sources: Sequence[str]
) -> list[tuple[str, list[AttentionRecord]]]:
    """Translate each source and record the attention of output over input."""
    examples = []
    for source, [best, *_] in zip(sources, translator.translate(sources), strict=True):
        if best.text.strip():
            records = record_translation(translator, source, best.text)
            examples.append((f"{source} → {best.text}", select(records, kind="cross")))
    return examples


def next_commands(run: Path, valid: Pairs, data: DataConfig) -> Commands:
    """Say what a person may type next."""
    folder = shlex.quote(str(run))
    test = next((name for name in data.train if name.startswith("builtin:")), "TEST.SRC TEST.TGT")
    text = next((source for source, _ in varied(valid, 1)), valid.source[0])
    return [
        (
            f"heedful explain {folder} {shlex.quote(text)} --out looked-at.html",
            "Draw what it looked at",
        ),
        (f"heedful evaluate {folder} --test {test}", "Measure it on pairs it has never seen"),
        (f"heedful predict {folder} FILE > translated.txt", "Translate a file, a text a line"),
    ]
