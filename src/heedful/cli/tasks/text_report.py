"""What a finished training on texts shows: some of them, and what comes next."""

from __future__ import annotations

import shlex
from pathlib import Path

from heedful.cli.report import Commands, write_report
from heedful.cli.tasks.text_predictors import shown
from heedful.data.texts import Texts
from heedful.explore.texts import record_answer
from heedful.tasks.table import TASKS
from heedful.tasks.text_config import TextData
from heedful.tasks.text_predictor import TextPredictor

EXAMPLES = 4
EXAMPLE_CHARACTERS = range(15, 80)
"""Lengths that make a map worth looking at and easy to read."""


def text_report(trained: TextPredictor, run: Path, data: Texts) -> Path:
    """Write the report of a finished training and return where it is."""
    config = trained.config
    texts = examples(data)
    shown_maps = [
        (f"{shown(answer)}: {text}", record_answer(trained, text, shown(answer)))
        for text, answer in zip(texts, trained.answers(texts), strict=True)
    ]
    return write_report(
        TASKS[trained.task],
        run,
        lead=f"A run of `heedful train {trained.task}` with the encoder {config.encoder.kind} and pooling by "
        f"{config.pooling.kind}, trained on {' + '.join(config.data.train)}.",
        examples=shown_maps,
        commands=next_commands(run, data, config.data),
    )


def examples(data: Texts) -> list[str]:
    """Choose texts of a length that a map can show, or the first ones."""
    texts = list(dict.fromkeys(each.text for each in data.texts))
    fitting = [each for each in texts if len(each) in EXAMPLE_CHARACTERS]
    return [*fitting, *(each for each in texts if each not in fitting)][:EXAMPLES]


def next_commands(run: Path, valid: Texts, data: TextData) -> Commands:
    """Say what a person may type next."""
    folder = shlex.quote(str(run))
    text = shlex.quote(examples(valid)[0])
    return [
        (f"heedful explain {folder} {text} --out looked-at.html", "Draw what it looked at"),
        (f"heedful evaluate {folder} --test FILE", "Measure it on texts it has never seen"),
        (f"heedful predict {folder} FILE > answered", "Answer a table, written in its own format"),
    ]
