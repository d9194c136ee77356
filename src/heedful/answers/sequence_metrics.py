"""Metrics of sequence classification, multi-label classification and regression."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from heedful.answers.label_metrics import (
    Counts,
    LabelMetrics,
    confusion_matrix,
    label_metrics,
    macro_f1,
)
from heedful.errors import ShapeError

Answers = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """Classification metrics, from 0 to 1."""

    texts: int
    accuracy: float
    """Fraction of texts whose set of labels is correct; with several labels, subset accuracy."""
    macro_f1: float
    """Unweighted mean F1 of the labels that occur in the reference or the prediction."""
    micro_f1: float
    """F1 of the pooled counts of all labels; it equals the accuracy if each text has one label and one prediction."""
    labels: tuple[LabelMetrics, ...]
    """Metrics of each label, sorted by name."""
    confusion: Counts | None
    """(reference, predicted) counts in the order of `labels`; None for multi-label."""
    abstained: int = 0
    """Texts without a predicted label, which count as wrong; 0 for multi-label, where none is an answer."""
    answered_accuracy: float | None = None
    """Accuracy of the other texts; None if every text has a predicted label, or none."""
    calibration_error: float | None = None
    """Expected calibration error of the probabilities; None if they are unknown."""
    uncalibrated_error: float | None = None
    """As `calibration_error`, at temperature 1."""
    temperature: float | None = None
    """The temperature of the probabilities; None if they are unknown."""


def score_labels(
    predicted: Answers, references: Answers, *, multi_label: bool = False
) -> LabelScores:
    """Return the metrics of predicted labels against reference labels.

    Raises: ShapeError for different numbers of predictions and references.

    >>> scores = score_labels([("a",), ("b",), ("b",)], [("a",), ("a",), ("b",)])
    >>> round(scores.accuracy, 3), round(scores.macro_f1, 3), scores.confusion
    (0.667, 0.667, ((1, 1), (0, 1)))
    """
    if len(predicted) != len(references):
        raise ShapeError(f"got {len(predicted)} predictions for {len(references)} references.")
    got, wanted, right = Counter[str](), Counter[str](), Counter[str]()
    exact = 0
    for labels, reference in zip(predicted, references, strict=True):
        got.update(labels)
        wanted.update(reference)
        right.update(set(labels) & set(reference))
        exact += set(labels) == set(reference)
    by_label = label_metrics(wanted, got, right)
    abstained = 0 if multi_label else sum(not labels for labels in predicted)
    answered = len(references) - abstained
    return LabelScores(
        texts=len(references),
        accuracy=exact / max(1, len(references)),
        macro_f1=macro_f1(by_label),
        micro_f1=2 * right.total() / max(1, got.total() + wanted.total()),
        labels=by_label,
        confusion=None if multi_label else _confusion(by_label, predicted, references),
        abstained=abstained,
        answered_accuracy=exact / answered if abstained and answered else None,
    )


def _confusion(labels: Sequence[LabelMetrics], predicted: Answers, references: Answers) -> Counts:
    # Texts without tokens have no predicted label and are not counted.
    pairs = zip(references, predicted, strict=True)
    return confusion_matrix(
        labels, Counter((true[0], found[0]) for true, found in pairs if true and found)
    )


@dataclass(frozen=True, kw_only=True)
class NumberScores:
    """Regression metrics; errors are in the units of the targets."""

    texts: int
    rmse: float
    mae: float
    r2: float
    """R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)²; 0 if all targets are equal."""
    by_target: Mapping[str, NumberScores] = field(default_factory=dict)
    """With several targets: the metrics of each. The metrics above are then their means."""
    coverage: float | None = None
    """Share of the targets within their intervals of `heedful.answers.intervals.REPORTED`; None without intervals."""
    interval_width: float | None = None
    """Mean width of these intervals."""


def score_numbers(predicted: Sequence[float], targets: Sequence[float]) -> NumberScores:
    """Return the metrics of predicted numbers against targets.

    Raises: ShapeError for different numbers of predictions and targets, or none.

    >>> scores = score_numbers([1.0, 2.0], [1.0, 4.0])
    >>> scores.rmse, scores.mae, scores.r2
    (1.4142135623730951, 1.0, 0.11111111111111116)
    """
    if len(predicted) != len(targets) or not targets:
        raise ShapeError(
            f"got {len(predicted)} predictions for {len(targets)} targets; expected equal numbers of at least 1."
        )
    count = len(targets)
    errors = [value - target for value, target in zip(predicted, targets, strict=True)]
    squared = math.fsum(error * error for error in errors)
    mean = math.fsum(targets) / count
    spread = math.fsum((target - mean) ** 2 for target in targets)
    return NumberScores(
        texts=count,
        rmse=math.sqrt(squared / count),
        mae=math.fsum(map(abs, errors)) / count,
        r2=1 - squared / spread if spread else 0.0,
    )


def score_targets(
    names: Sequence[str], got: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NumberScores:
    """Compare the numbers of several targets, (texts, targets), with the true ones; NaN is no true number.

    Raises: ShapeError as `score_numbers`.

    >>> scores = score_targets(["a", "b"], np.array([[1.0, 2], [3, 4]]), np.array([[1.0, np.nan], [3, 6]]))
    >>> scores.mae, scores.by_target["b"].texts
    (1.0, 1)
    """
    known = ~np.isnan(wanted)
    each = {
        name: score_numbers(got[there, n].tolist(), wanted[there, n].tolist())
        for n, (name, there) in enumerate(zip(names, known.T, strict=True))
        if there.any()
    }
    if len(names) == 1 and each:
        return each[names[0]]
    if not each:
        raise ShapeError("there is no true number to compare with.")
    means = {
        name: math.fsum(getattr(scores, name) for scores in each.values()) / len(each)
        for name in ("rmse", "mae", "r2")
    }
    return NumberScores(texts=len(wanted), **means, by_target=each)
