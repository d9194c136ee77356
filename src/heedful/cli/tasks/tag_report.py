"""What a finished training of a tagger shows: some sentences, and what comes next."""

from __future__ import annotations

import shlex
from pathlib import Path

from heedful.cli.report import Commands, write_report
from heedful.data.labelled import Labelled
from heedful.explore import AttentionRecord
from heedful.explore.tagging import record_tags
from heedful.tasks.tag import TAG
from heedful.tasks.tagging import Tagger
from heedful.tasks.tagging_config import TaggingData

EXAMPLES = 4
EXAMPLE_TOKENS = range(4, 13)
"""Lengths that make a map worth looking at and easy to read."""


def tagging_report(tagger: Tagger, run: Path, data: Labelled) -> Path:
    """Write the report of a finished training and return where it is."""
    config = tagger.config
    column = f" ({config.data.column})" if config.data.column else ""
    return write_report(
        TAG,
        run,
        lead=f"A tagger{column} with the encoder {config.encoder.kind}, trained on "
        f"{' + '.join(config.data.train)}.",
        examples=[explained(tagger, tokens) for tokens in examples(data)],
        commands=next_commands(run, data, config.data),
    )


def examples(data: Labelled) -> list[tuple[str, ...]]:
    """Choose sentences of a length that a map can show, or the first ones."""
    tokens = [sentence.tokens for sentence in data.sentences]
    fitting = [each for each in tokens if len(each) in EXAMPLE_TOKENS]
    return [*fitting, *(each for each in tokens if each not in fitting)][:EXAMPLES]


def explained(tagger: Tagger, tokens: tuple[str, ...]) -> tuple[str, list[AttentionRecord]]:
    """Label a sentence and record what was looked at, under the sentence as a title."""
    return " ".join(tokens), record_tags(tagger, tokens)


def next_commands(run: Path, valid: Labelled, data: TaggingData) -> Commands:
    """Say what a person may type next."""
    folder = shlex.quote(str(run))
    text = shlex.quote(" ".join(examples(valid)[0]))
    return [
        (f"heedful explain {folder} {text} --out looked-at.html", "Draw what it looked at"),
        (f"heedful evaluate {folder} --test FILE", "Measure it on sentences it has never seen"),
        (f"heedful predict {folder} FILE > labelled", "Label a file, written in its own format"),
    ]
