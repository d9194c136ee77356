"""The report.html of a run: what it reached, how it got there, what it looked at, what comes next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heedful.explore import (
    AttentionRecord,
    Chart,
    Code,
    Maps,
    MetricTable,
    Paragraph,
    Series,
    report_page,
)
from heedful.tasks import run_folder
from heedful.tasks.base import Task

REPORT = "report.html"

Commands = list[tuple[str, str]]
"""Each a command to type and what it does."""


def write_report(
    task: Task[Any, Any, Any],
    run: Path,
    *,
    lead: str,
    examples: Sequence[tuple[str, list[AttentionRecord]]],
    commands: Commands,
    results: Sequence[MetricTable] = (),
) -> Path:
    """Write the report of a finished training beside its weights and return where it is.

    Args:
        task: what the run was trained for.
        run: its folder.
        lead: what it is about.
        examples: titles and what the model looked at.
        commands: what a person may type next.
        results: tables that stand before those of the validation.
    """
    page = report_page(
        f"Heedful: {run.name}",
        [
            Paragraph("", lead),
            *results,
            *([Maps("What it looked at", examples)] if examples else []),
            *validation_sections(task, read_metrics(run)),
            Code("What next", commands),
        ],
    )
    run_folder.write_text(run / REPORT, page)
    return run / REPORT


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Read the lines of metrics.jsonl."""
    lines = (run / run_folder.METRICS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def validation_sections(
    task: Task[Any, Any, Any], events: Sequence[dict[str, Any]]
) -> list[MetricTable | Chart]:
    """Return the validation figures of the kept weights, and the curves by epoch."""
    validated = [event for event in events if event["event"] == "validated"]
    finished = events[-1]
    rows = [
        [figure.title, format(finished["scores"][name], figure.form)]
        for name, figure in task.figures.items()
    ]
    table = MetricTable(
        f"On the validation {task.examples} (weights kept: {finished['chosen']})",
        ["figure", "value"],
        rows,
    )

    def curve(title: str, name: str) -> Series:
        return Series(
            title, [(event["epoch"], float(event["scores"][name])) for event in validated]
        )

    training = Series("training", [(e["epoch"], float(e["train_loss"])) for e in validated])
    charts = [Chart("Loss", [training, curve("validation", "loss")], "epoch", "loss a prediction")]
    for names in task.charts:
        titles = [task.figures[name].title for name in names]
        series = [curve(title, name) for title, name in zip(titles, names, strict=True)]
        charts.append(Chart(" and ".join(titles), series, "epoch", "validation"))
    return [table, *charts]
