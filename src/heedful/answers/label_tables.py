"""Tables of classification metrics: summary, metrics of each label, confusions."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.answers.base import ReportTable, Rows
from heedful.answers.sequence_metrics import LabelMetrics, LabelScores

SHOWN_LABELS = 12
"""Maximum labels for a full confusion matrix; above it, only the most frequent confusions are shown."""
CONFUSIONS = 10
REPORTED_CONFUSIONS = 30
"""As `CONFUSIONS`, in a report."""
LABEL_COLUMNS = ("label", "examples", "precision", "recall", "F1")
CONFUSION_COLUMNS = ("true label", "predicted", "count")


def summary_rows(metrics: LabelScores) -> Rows:
    """Return (metric, value) of the metrics over all labels."""
    accuracy = "subset accuracy" if metrics.confusion is None else "accuracy"
    rows = [
        [accuracy, f"{metrics.accuracy:.4f}"],
        ["macro F1", f"{metrics.macro_f1:.4f}"],
        ["micro F1", f"{metrics.micro_f1:.4f}"],
    ]
    if metrics.abstained:
        share = f"{metrics.abstained / metrics.texts:.1%}"
        rows.append(["without a label", f"{metrics.abstained:,} ({share})"])
    if metrics.answered_accuracy is not None:
        rows.append(["accuracy of the others", f"{metrics.answered_accuracy:.4f}"])
    if metrics.calibration_error is not None and metrics.uncalibrated_error is not None:
        rows.append(["calibration error", f"{metrics.calibration_error:.4f}"])
        rows.append(["  at temperature 1", f"{metrics.uncalibrated_error:.4f}"])
    return rows


def label_rows(labels: Sequence[LabelMetrics]) -> Rows:
    """Return the metrics of each label, in the order of `LABEL_COLUMNS`."""
    return [
        [
            each.label,
            f"{each.wanted:,}",
            *(f"{x:.3f}" for x in (each.precision, each.recall, each.f1)),
        ]
        for each in labels
    ]


def confusion_table(metrics: LabelScores) -> Rows | None:
    """Return the confusion matrix, or if it is large its most frequent confusions; None for multi-label."""
    if metrics.confusion is None:
        return None
    names = [each.label for each in metrics.labels]
    if len(names) <= SHOWN_LABELS:
        head, rows = ["true \\ predicted", *names], _matrix_rows(names, metrics.confusion)
    else:
        head = [*CONFUSION_COLUMNS]
        rows = _confusion_rows(names, metrics.confusion, CONFUSIONS)
    return [[""] * len(head), head, *rows]


def report_tables(metrics: LabelScores) -> list[ReportTable]:
    """Return the metrics of each label, the confusion matrix and the most frequent confusions, for a report.

    Of more than `SHOWN_LABELS` labels the matrix shows those with most errors; the others are one row and column.
    """
    tables = [
        ReportTable("On the validation data: each label", LABEL_COLUMNS, label_rows(metrics.labels))
    ]
    if metrics.calibration_error is not None:
        tables.append(_calibration_table(metrics))
    if metrics.confusion is None:
        return tables
    names, matrix, note = _largest_errors(metrics.labels, metrics.confusion)
    heading = "On the validation data: confusion matrix"
    head = ["true \\ predicted", *names]
    tables.append(ReportTable(heading, head, _matrix_rows(names, matrix), note, is_matrix=True))
    if note:
        all_names = [each.label for each in metrics.labels]
        rows = _confusion_rows(all_names, metrics.confusion, REPORTED_CONFUSIONS)
        heading = "On the validation data: most frequent confusions"
        tables.append(ReportTable(heading, CONFUSION_COLUMNS, rows))
    return tables


def _calibration_table(metrics: LabelScores) -> ReportTable:
    rows = [
        ["1 (before)", f"{metrics.uncalibrated_error:.4f}"],
        [f"{metrics.temperature:.3f}", f"{metrics.calibration_error:.4f}"],
    ]
    return ReportTable(
        "On the validation data: calibration of the probabilities",
        ["temperature", "expected calibration error"],
        rows[: 1 if metrics.temperature == 1 else 2],
        "How far probabilities are from the share of right answers, on average. Scores are divided by the "
        "temperature that fits these data best.",
    )


def _largest_errors(
    labels: Sequence[LabelMetrics], confusion: Sequence[Sequence[int]]
) -> tuple[list[str], list[list[int]], str]:
    """Return names, matrix and a note; of many labels those with most errors, the rest merged."""
    names = [each.label for each in labels]
    if len(names) <= SHOWN_LABELS:
        return names, [list(row) for row in confusion], ""
    errors = [each.wanted + each.got - 2 * each.right for each in labels]
    chosen = sorted(range(len(names)), key=lambda n: -errors[n])[: SHOWN_LABELS - 1]
    place = {n: min(i, SHOWN_LABELS - 1) for i, n in enumerate(sorted(chosen))}
    merged = [[0] * SHOWN_LABELS for _ in range(SHOWN_LABELS)]
    for true, row in enumerate(confusion):
        for predicted, number in enumerate(row):
            row_place = place.get(true, SHOWN_LABELS - 1)
            merged[row_place][place.get(predicted, SHOWN_LABELS - 1)] += number
    rest = len(names) - len(chosen)
    note = (
        f"The {len(chosen)} labels with most errors; the other {rest} labels are one row and column, whose own "
        "confusions count as correct here."
    )
    return [*(names[n] for n in sorted(chosen)), f"{rest} others"], merged, note


def _matrix_rows(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Rows:
    return [
        [name, *(f"{count:,}" for count in row)] for name, row in zip(names, confusion, strict=True)
    ]


def _confusion_rows(names: Sequence[str], confusion: Sequence[Sequence[int]], most: int) -> Rows:
    """Return the most frequent entries off the diagonal of a confusion matrix."""
    wrong = [
        (count, true, predicted)
        for true, row in zip(names, confusion, strict=True)
        for predicted, count in zip(names, row, strict=True)
        if count and true != predicted
    ]
    wrong.sort(key=lambda each: (-each[0], each[1:]))
    return [[true, predicted, f"{count:,}"] for count, true, predicted in wrong[:most]]
