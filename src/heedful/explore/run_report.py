"""The report.html of a run: metrics, training curves, attention weights of examples, next commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heedful import run_folder
from heedful.answers.base import Answer
from heedful.data.dataset import Dataset
from heedful.errors import count
from heedful.explore import (
    AttentionRecord,
    Chart,
    Code,
    KeyFigures,
    Maps,
    MetricTable,
    Paragraph,
    Series,
    report_page,
)
from heedful.explore.explain import explain
from heedful.explore.explanation import Explanation
from heedful.explore.select import OUTPUT_KINDS
from heedful.strict_json import number_from_json
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import ENTRIES

Commands = list[tuple[str, str]]
"""(command, description) for each."""

NUM_EXAMPLES = 4
"""Validation examples whose attention weights a report shows."""
NUM_FIGURES = 4
"""Metrics in large letters at the top of a report."""
NUM_MEASURED = 50
"""Validation examples whose weights are tested by hiding positions."""
NUM_REACHED = 16
"""Validation images in which is measured how far attention looks."""


def write_report(
    predictor: Predictor,
    run: Path,
    data: Dataset,
    *,
    lead: str = "",
    results: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write the report of a finished run into its folder and return its path.

    Args:
        predictor: the trained model.
        run: its folder.
        data: the validation data, of which some examples are shown.
        lead: first paragraph; by default the model and its data.
        results: further key figures to put first, (value, what it is).
    """
    task, config = predictor.task, predictor.config
    default_lead = (
        f"A run of heedful train {task.name} with {task.describe(config)}, trained on "
        f"{' + '.join(config.data.train) or 'data given in Python'}."
    )
    events = run_folder.read_metrics(run)
    tables = _answer_tables(predictor, data)
    page = report_page(
        f"Heedful: {run.name}",
        [
            Paragraph("", lead or default_lead),
            key_figures(predictor, events, results),
            *tables,
            *_shown(predictor, data),
            *validation_sections(predictor.answer, task.examples, events),
            Code("What next", next_commands(predictor, run, data)),
        ],
    )
    run_folder.write_text(run / run_folder.REPORT, page)
    return run / run_folder.REPORT


def key_figures(
    predictor: Predictor,
    events: Sequence[dict[str, Any]],
    results: Sequence[tuple[str, str]] = (),
) -> KeyFigures:
    """Return the first things to know of a run: its metrics on the validation data, the one it was chosen by first."""
    answer, finished = predictor.answer, events[-1]
    chosen = predictor.config.training.metric
    names = sorted(
        (name for name in answer.metrics if name != "loss"), key=lambda name: name != chosen
    )
    figures = [
        (
            format(number_from_json(finished["scores"][name]), answer.metrics[name].format_spec),
            answer.metrics[name].title,
        )
        for name in names[: NUM_FIGURES - len(results)]
    ]
    note = f"On the validation {predictor.task.examples}, with the weights of {finished['chosen']}."
    return KeyFigures("", [*results, *figures], note)


def _answer_tables(predictor: Predictor, data: Dataset) -> list[MetricTable]:
    """Return the tables of the answer's metrics on the validation data, such as those of each label."""
    if not predictor.answer.has_report_tables:
        return []
    return [MetricTable(*each) for each in predictor.answer.report_tables(predictor.evaluate(data))]


def _shown(predictor: Predictor, data: Dataset) -> list[Maps | Chart]:
    """Return the attention weights of some examples, how far they look in images, and how faithful they are."""
    explanations = example_explanations(predictor, data.showcase(NUM_EXAMPLES))
    if not explanations:
        return []
    examples = [(each.title, shown_records(each)) for each in explanations]
    pictures = [each.picture for each in explanations]
    drawings = [each.drawing for each in explanations]
    maps = Maps("What it looked at", examples, pictures, drawings, unfolded=1)
    return [maps, *_reach(predictor, data), *_faithfulness(predictor, data)]


def _faithfulness(predictor: Predictor, data: Dataset) -> list[Chart]:
    """Return how faithful the weights of labels and numbers are."""
    from heedful.explore.faithfulness import can_measure, deletion_series, support_name

    if not can_measure(predictor):
        return []
    inputs = data.inputs[:NUM_MEASURED]
    curves = deletion_series(predictor, inputs)
    if not curves:
        return []
    positions = "neighbours" if predictor.input.is_graph else "positions"
    return [
        Chart(
            "Are the weights faithful?",
            curves,
            f"share of the {positions} that are hidden",
            support_name(predictor),
            note=f"The {positions} of {count(len(inputs), data.example)} are hidden in the order of their weights. The "
            "steeper a curve falls, the more the predictions depend on what its measure names; random is any order.",
        )
    ]


def _reach(predictor: Predictor, data: Dataset) -> list[Chart]:
    """Return how far the attention of the encoder looks in some images."""
    from heedful.explore.receptive_field import can_measure_reach, reach_curves

    if not can_measure_reach(predictor):
        return []
    inputs = data.inputs[:NUM_REACHED]
    curves = reach_curves(predictor, inputs)
    if not curves:
        return []
    return [
        Chart(
            "How far does attention look?",
            curves,
            "layer of the encoder",
            "mean distance in cells",
            note=f"The mean distance from a cell to those that it attends to, over {count(len(inputs), data.example)}, "
            "beside that of 3 × 3 convolutions, which is the same for every image.",
        )
    ]


def shown_records(explanation: Explanation) -> list[AttentionRecord]:
    """Return the records that a report shows: of generated text those of the attention to the source."""
    if explanation.target is None:
        # Of a node its neighbours, which the picture has too, without the matrices among all of them.
        near = [record for record in explanation.records if record.kind == "neighbours"]
        return near or explanation.records
    return [record for record in explanation.records if record.kind in OUTPUT_KINDS]


def example_explanations(predictor: Predictor, inputs: Sequence[Any]) -> list[Explanation]:
    """Predict each input and explain it; inputs with an empty prediction are omitted."""
    if not predictor.answer.is_explained:
        return []
    return [
        explain(predictor, one, prediction)
        for one, prediction in zip(inputs, predictor.predict(inputs), strict=True)
        if predictor.answer.to_text(prediction).strip()
    ]


def next_commands(predictor: Predictor, run: Path, data: Dataset) -> Commands:
    """Return the commands to try next."""
    folder, entry = shlex.quote(str(run)), ENTRIES.get(predictor.task.name)
    first = next(iter(data.showcase(1)), data.inputs[0])
    text = shlex.quote(predictor.task.reader.to_argument(first))
    commands = [
        (f"heedful explain {folder} {text} --out looked-at.html", "Draw its attention weights")
    ]
    if entry is None:
        return commands
    train = predictor.config.data.train
    test = next((name for name in train if name.startswith("builtin:")), entry.test)
    description = f"Evaluate it on {predictor.task.examples} it has not seen in training"
    if entry.can_chat:
        commands.append((f"heedful chat {folder}", "Talk with it"))
    return [
        *commands,
        (f"heedful evaluate {folder} --test {test}", description),
        (f"heedful predict {folder} FILE > {entry.prediction_file}", entry.predict_summary),
    ]


def validation_sections(
    answer: Answer[Any], examples: str, events: Sequence[dict[str, Any]]
) -> list[MetricTable | Chart]:
    """Return a table of the validation metrics of the best checkpoint, and training curves by epoch."""
    validated = [event for event in events if event["event"] == "validated"]
    finished = events[-1]
    rows = [
        [metric.title, format(number_from_json(finished["scores"][name]), metric.format_spec)]
        for name, metric in answer.metrics.items()
    ]
    table = MetricTable(
        f"On the validation {examples} (best weights: {finished['chosen']})",
        ["metric", "value"],
        rows,
    )

    def curve(title: str, name: str) -> Series:
        return Series(
            title,
            [(event["epoch"], number_from_json(event["scores"][name])) for event in validated],
        )

    training = Series(
        "training", [(e["epoch"], number_from_json(e["train_loss"])) for e in validated]
    )
    charts = [Chart("Loss", [training, curve("validation", "loss")], "epoch", "loss a prediction")]
    for names in answer.charts:
        titles = [answer.metrics[name].title for name in names]
        series = [curve(title, name) for title, name in zip(titles, names, strict=True)]
        charts.append(Chart(" and ".join(titles), series, "epoch", "validation"))
    return [table, *charts]
