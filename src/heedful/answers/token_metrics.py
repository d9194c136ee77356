"""Metrics of sequence labelling: accuracy (also on unknown words), label F1, span F1 and confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.data.spans import detect_scheme, is_span_labels, violations
from heedful.errors import ShapeError

Labels = Sequence[Sequence[str]]
Known = Sequence[Sequence[bool]]


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often label `got` was predicted for reference label `wanted`."""

    wanted: str
    got: str
    count: int


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
    """F1 of whole spans (seqeval), for span labels."""
    span_breaks: int | None
    """Predicted labels that violate the span scheme of the reference, such as I-PER after O."""
    sentences_right: float
    """Fraction of sentences with all labels correct."""
    confusions: tuple[Confusion, ...]
    """The most frequent confusions, in decreasing order."""


def score_tags(
    predicted: Labels, references: Labels, in_vocabulary: Known, *, confusions: int = 10
) -> TaggingScores:
    """Return the metrics of predicted labels against reference labels, at most `confusions` confusions.

    Raises: ShapeError for different numbers or lengths of sentences.

    >>> scores = score_tags([["A", "B"]], [["A", "A"]], [[True, False]])
    >>> scores.accuracy, scores.unknown_accuracy, round(scores.macro_f1, 3), scores.confusions[0].got
    (0.5, 0.0, 0.333, 'B')
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
    wrong = Counter({pair: count for pair, count in pairs.items() if pair[0] != pair[1]})
    return TaggingScores(
        tokens=tokens,
        accuracy=(tokens - wrong.total()) / max(1, tokens),
        unknown=unknown.total(),
        unknown_accuracy=unknown[True] / unknown.total() if unknown else None,
        macro_f1=_macro_f1(pairs),
        span_f1=_span_f1(predicted, references),
        span_breaks=_span_violations(predicted, references),
        sentences_right=correct / max(1, len(references)),
        confusions=tuple(
            Confusion(wanted=true, got=label, count=count)
            for (true, label), count in wrong.most_common(confusions)
        ),
    )


def _macro_f1(pairs: Counter[tuple[str, str]]) -> float:
    references, predicted = Counter[str](), Counter[str]()
    for (true, label), count in pairs.items():
        references[true] += count
        predicted[label] += count
    labels = sorted(references.keys() | predicted.keys())
    # F1 = 2 tp / (2 tp + fp + fn), whose denominator is reference + predicted occurrences.
    f1 = [2 * pairs[label, label] / (references[label] + predicted[label]) for label in labels]
    return sum(f1) / max(1, len(f1))


def _span_f1(predicted: Labels, references: Labels) -> float | None:
    if not is_span_labels({label for sentence in references for label in sentence}):
        return None
    # Imported here: seqeval imports scikit-learn and SciPy, two seconds of CPU.
    from seqeval.metrics import f1_score

    return float(f1_score(list(map(list, references)), list(map(list, predicted)), zero_division=0))


def _span_violations(predicted: Labels, references: Labels) -> int | None:
    scheme = detect_scheme(references)
    return None if scheme is None else sum(len(violations(scheme, each)) for each in predicted)
