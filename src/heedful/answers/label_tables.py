"""Tables of classification metrics: summary, metrics of each label, confusions."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.answers.base import ReportTable, Rows
from heedful.answers.label_metrics import Counts, LabelMetrics
from heedful.answers.sequence_metrics import LabelScores

SHOWN_LABELS = 12
"""Maximum labels for a full confusion matrix; above it, only the most frequent confusions are shown."""
CONFUSIONS = 10
REPORTED_CONFUSIONS = 30
"""As `CONFUSIONS`, in a report."""
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


def label_table(
    labels: Sequence[LabelMetrics], name: str = "label", count: str = "examples"
) -> Rows:
    """Return the metrics of each label under their names; `count` is what `LabelMetrics.wanted` counts."""
    rows = [
        [
            each.label,
            f"{each.wanted:,}",
            *(f"{x:.3f}" for x in (each.precision, each.recall, each.f1)),
        ]
        for each in labels
    ]
    return [[name, count, "precision", "recall", "F1"], *rows]


def confusion_tables(labels: Sequence[LabelMetrics], confusion: Counts) -> list[Rows]:
    """Return the confusion matrix, or if it is large its most frequent confusions, if any; names of columns first."""
    names = [each.label for each in labels]
    if len(names) <= SHOWN_LABELS:
        return [[["true \\ predicted", *names], *_matrix_rows(names, confusion)]]
    rows = _confusion_rows(names, confusion, CONFUSIONS)
    return [[[*CONFUSION_COLUMNS], *rows]] if rows else []


def label_report(
    labels: Sequence[LabelMetrics], name: str = "label", count: str = "examples"
) -> ReportTable:
    """Return the table of `label_table` for a report."""
    columns, *rows = label_table(labels, name, count)
    return ReportTable(f"On the validation data: each {name}", columns, rows)


def confusion_reports(labels: Sequence[LabelMetrics], confusion: Counts) -> list[ReportTable]:
    """Return the confusion matrix for a report, and if it is large the most frequent confusions.

    Of more than `SHOWN_LABELS` labels the matrix shows those with most errors; the others are one row and column.
    """
    names, matrix, note = _largest_errors(labels, confusion)
    heading = "On the validation data: confusion matrix"
    head = ["true \\ predicted", *names]
    tables = [ReportTable(heading, head, _matrix_rows(names, matrix), note, is_matrix=True)]
    rows = _confusion_rows([each.label for each in labels], confusion, REPORTED_CONFUSIONS)
    if note and rows:
        heading = "On the validation data: most frequent confusions"
        tables.append(ReportTable(heading, CONFUSION_COLUMNS, rows))
    return tables


def calibration_report(metrics: LabelScores) -> ReportTable:
    """Return how well the probabilities are calibrated, before and after, for a report."""
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
