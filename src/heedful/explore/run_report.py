"""The report.html of a run: what it reached, how it got there, what it looked at, what comes next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heedful import run_folder
from heedful.answers.base import Answer
from heedful.data.dataset import Dataset
from heedful.explore import (
    AttentionRecord,
    Chart,
    Code,
    Maps,
    MetricTable,
    Paragraph,
    Series,
    report_page,
    select,
)
from heedful.explore.explain import explain
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import ENTRIES

REPORT = "report.html"

Commands = list[tuple[str, str]]
"""Each a command to type and what it does."""


EXAMPLES = 4


def write_report(
    predictor: Predictor,
    run: Path,
    data: Dataset,
    *,
    lead: str = "",
    results: Sequence[MetricTable] = (),
) -> Path:
    """Write the report of a finished training beside its weights and return where it is.

    Args:
        predictor: the trained model.
        run: its folder.
        data: examples that were not in the training, of which some are shown.
        lead: what it is about; by default the model and its data.
        results: tables that stand before those of the validation.
    """
    task, config = predictor.task, predictor.config
    usual = (
        f"A run of `heedful train {task.name}` with {task.describe(config)}, trained on "
        f"{' + '.join(config.data.train) or 'data given in Python'}."
    )
    examples = explained(predictor, data.showcase(EXAMPLES))
    page = report_page(
        f"Heedful: {run.name}",
        [
            Paragraph("", lead or usual),
            *results,
            *([Maps("What it looked at", examples)] if examples else []),
            *validation_sections(predictor.answer, task.examples, read_metrics(run)),
            Code("What next", next_commands(predictor, run, data)),
        ],
    )
    run_folder.write_text(run / REPORT, page)
    return run / REPORT


def explained(
    predictor: Predictor, inputs: Sequence[Any]
) -> list[tuple[str, list[AttentionRecord]]]:
    """Predict each input and record what was looked at, under a title; inputs without an answer are left out."""
    found = []
    for one, prediction in zip(inputs, predictor.predict(inputs), strict=True):
        if predictor.answer.to_text(prediction).strip():
            each = explain(predictor, one, prediction)
            records = each.records if each.target is None else select(each.records, kind="cross")
            found.append((each.title, records))
    return found


def next_commands(predictor: Predictor, run: Path, data: Dataset) -> Commands:
    """Return what a person may type next."""
    folder, entry = shlex.quote(str(run)), ENTRIES.get(predictor.task.name)
    first = next(iter(data.showcase(1)), data.inputs[0])
    text = shlex.quote(predictor.task.reader.to_argument(first))
    commands = [(f"heedful explain {folder} {text} --out looked-at.html", "Draw what it looked at")]
    if entry is None:
        return commands
    train = predictor.config.data.train
    test = next((name for name in train if name.startswith("builtin:")), entry.test)
    what = f"Measure it on {predictor.task.examples} it has never seen"
    return [
        *commands,
        (f"heedful evaluate {folder} --test {test}", what),
        (f"heedful predict {folder} FILE > {entry.predicted}", entry.predicts),
    ]


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Read the lines of metrics.jsonl."""
    lines = (run / run_folder.METRICS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def validation_sections(
    answer: Answer[Any], examples: str, events: Sequence[dict[str, Any]]
) -> list[MetricTable | Chart]:
    """Return the validation metrics of the kept weights, and the curves by epoch."""
    validated = [event for event in events if event["event"] == "validated"]
    finished = events[-1]
    rows = [
        [metric.title, format(finished["scores"][name], metric.format_spec)]
        for name, metric in answer.metrics.items()
    ]
    table = MetricTable(
        f"On the validation {examples} (weights kept: {finished['chosen']})",
        ["figure", "value"],
        rows,
    )

    def curve(title: str, name: str) -> Series:
        return Series(
            title, [(event["epoch"], float(event["scores"][name])) for event in validated]
        )

    training = Series("training", [(e["epoch"], float(e["train_loss"])) for e in validated])
    charts = [Chart("Loss", [training, curve("validation", "loss")], "epoch", "loss a prediction")]
    for names in answer.charts:
        titles = [answer.metrics[name].title for name in names]
        series = [curve(title, name) for title, name in zip(titles, names, strict=True)]
        charts.append(Chart(" and ".join(titles), series, "epoch", "validation"))
    return [table, *charts]
