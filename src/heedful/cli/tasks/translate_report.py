"""What a finished training of a translator shows: examples unlike each other, and what comes next."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from heedful.cli.report import Commands, write_report
from heedful.data.files import Pairs
from heedful.explore import AttentionRecord, MetricTable, record_translation, select
from heedful.tasks.translate import TRANSLATE
from heedful.tasks.translation import Translator
from heedful.tasks.translation_config import DataConfig

EXAMPLES = 4
LONGEST_EXAMPLE = 60
"""Characters; a map of a longer text is hard to read in a report."""


def translation_report(
    translator: Translator,
    run: Path,
    pairs: Pairs,
    *,
    lead: str = "",
    results: Sequence[MetricTable] = (),
) -> Path:
    """Write the report of a finished training and return where it is.

    Args:
        translator: the trained model.
        run: its folder.
        pairs: pairs that were not in the training, of which some are shown.
        lead: what it is about; by default the model and its corpus.
        results: tables that stand before those of the validation.
    """
    config = translator.config
    usual = f"A model of kind {config.model.kind}, trained on {' + '.join(config.data.train)}."
    return write_report(
        TRANSLATE,
        run,
        lead=lead or usual,
        examples=explained(translator, [source for source, _ in varied(pairs, EXAMPLES)]),
        commands=next_commands(run, pairs, config.data),
        results=results,
    )


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
