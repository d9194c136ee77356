"""Metrics of sequence labelling: accuracy (also on unknown words), label F1, span F1 and confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.answers.label_metrics import (
    Counts,
    LabelMetrics,
    confusion_matrix,
    macro_f1,
    paired_metrics,
)
from heedful.answers.span_metrics import score_spans
from heedful.errors import ShapeError

Labels = Sequence[Sequence[str]]
Known = Sequence[Sequence[bool]]


@dataclass(frozen=True, kw_only=True)
class TaggingScores:
    """Sequence labelling metrics, from 0 to 1; None if undefined."""

    tokens: int
    accuracy: float
    unknown: int
    """Tokens that are not in the vocabulary."""
    unknown_accuracy: float | None
    macro_f1: float
    """Unweighted mean F1 of the labels that occur in the reference or the prediction."""
    span_f1: float | None
    """F1 of whole spans as conlleval counts them: violations of the scheme are repaired."""
    span_f1_strict: float | None
    """F1 of spans that follow the scheme; others do not count."""
    span_breaks: int | None
    """Predicted labels that violate the span scheme of the reference, such as I-PER after O."""
    span_scheme: str | None
    """Scheme of the reference labels, a key of `heedful.data.spans.SCHEMES`; None if they do not mark spans."""
    span_problem: str | None
    """Why labels that seem to mark spans have no span F1."""
    sentences_right: float
    """Fraction of sentences with all labels correct."""
    labels: tuple[LabelMetrics, ...]
    """Metrics of each label, sorted by name."""
    confusion: Counts
    """(reference, predicted) counts in the order of `labels`."""
    span_types: tuple[LabelMetrics, ...] = ()
    """Metrics of the spans of each type, as `span_f1` counts them; empty if the labels do not mark spans."""


def score_tags(predicted: Labels, references: Labels, in_vocabulary: Known) -> TaggingScores:
    """Return the metrics of predicted labels against reference labels.

    Raises: ShapeError for different numbers or lengths of sentences.

    >>> scores = score_tags([["A", "B"]], [["A", "A"]], [[True, False]])
    >>> scores.accuracy, scores.unknown_accuracy, round(scores.macro_f1, 3), scores.confusion
    (0.5, 0.0, 0.333, ((1, 1), (0, 0)))
    """
    lengths = [[len(each) for each in one] for one in (predicted, references, in_vocabulary)]
    if not lengths[0] == lengths[1] == lengths[2]:
        raise ShapeError("the predicted and the reference sentences differ in number or length.")
    pairs = Counter[tuple[str, str]]()
    unknown, correct = Counter[bool](), 0
    for labels, reference, known in zip(predicted, references, in_vocabulary, strict=True):
        pairs.update(zip(reference, labels, strict=True))
        correct += list(labels) == list(reference)
        unknown.update(a == b for a, b, k in zip(labels, reference, known, strict=True) if not k)
    tokens = pairs.total()
    spans = score_spans(predicted, references)
    by_label = paired_metrics(pairs)
    return TaggingScores(
        tokens=tokens,
        accuracy=sum(each.right for each in by_label) / max(1, tokens),
        unknown=unknown.total(),
        unknown_accuracy=unknown[True] / unknown.total() if unknown else None,
        macro_f1=macro_f1(by_label),
        span_f1=spans.conlleval,
        span_f1_strict=spans.strict,
        span_breaks=spans.violations,
        span_scheme=spans.scheme,
        span_problem=spans.problem,
        sentences_right=correct / max(1, len(references)),
        labels=by_label,
        confusion=confusion_matrix(by_label, pairs),
        span_types=spans.types,
    )
