"""Precision, recall and F1 of each label, and the confusion matrix, from counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Counts = tuple[tuple[int, ...], ...]
"""A confusion matrix: (reference, predicted)."""


@dataclass(frozen=True, kw_only=True)
class LabelMetrics:
    """How often one label is `wanted`, in the reference, `got`, predicted, and `right`, both at one place."""

    label: str
    wanted: int
    got: int
    right: int

    @property
    def precision(self) -> float:
        """Return right / got; 0 if never predicted."""
        return self.right / self.got if self.got else 0.0

    @property
    def recall(self) -> float:
        """Return right / wanted; 0 if not in the reference."""
        return self.right / self.wanted if self.wanted else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / (self.wanted + self.got) if self.wanted + self.got else 0.0


def label_metrics(
    wanted: Mapping[str, int], got: Mapping[str, int], right: Mapping[str, int]
) -> tuple[LabelMetrics, ...]:
    """Return the metrics of each label that occurs in the reference or the prediction, sorted by name.

    >>> [each] = label_metrics({"a": 4}, {"a": 2}, {"a": 1})
    >>> each.precision, each.recall, round(each.f1, 3)
    (0.5, 0.25, 0.333)
    """
    return tuple(
        LabelMetrics(
            label=name, wanted=wanted.get(name, 0), got=got.get(name, 0), right=right.get(name, 0)
        )
        for name in sorted(wanted.keys() | got.keys())
    )


def paired_metrics(pairs: Mapping[tuple[str, str], int]) -> tuple[LabelMetrics, ...]:
    """Return the metrics of each label from counts of (reference, predicted).

    >>> [a, b] = paired_metrics({("a", "a"): 1, ("a", "b"): 1})
    >>> (a.wanted, a.got, a.right), (b.wanted, b.got, b.right)
    ((2, 1, 1), (0, 1, 0))
    """
    wanted, got, right = Counter[str](), Counter[str](), Counter[str]()
    for (true, label), count in pairs.items():
        wanted[true] += count
        got[label] += count
        right[label] += count * (true == label)
    return label_metrics(wanted, got, right)


def macro_f1(labels: Sequence[LabelMetrics]) -> float:
    """Return the unweighted mean F1 of labels; 0 for none."""
    return sum(each.f1 for each in labels) / max(1, len(labels))


def confusion_matrix(
    labels: Sequence[LabelMetrics], pairs: Mapping[tuple[str, str], int]
) -> Counts:
    """Return the counts of (reference, predicted) as a matrix in the order of `labels`."""
    names = [each.label for each in labels]
    return tuple(tuple(pairs.get((true, label), 0) for label in names) for true in names)
