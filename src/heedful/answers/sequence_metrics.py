"""Figures of merit of answers to whole texts: labels, several labels, numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from heedful.errors import ShapeError

Answers = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class LabelMetrics:
    """How well one label is found."""

    label: str
    wanted: int
    got: int
    right: int

    @property
    def precision(self) -> float:
        """The share of what was given that is right."""
        return self.right / self.got if self.got else 0.0

    @property
    def recall(self) -> float:
        """The share of what was wanted that was given."""
        return self.right / self.wanted if self.wanted else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.right / (self.wanted + self.got) if self.wanted + self.got else 0.0


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """Shares from 0 to 1."""

    texts: int
    accuracy: float
    """Texts whose labels are all right, and none other: with several labels, subset accuracy."""
    macro_f1: float
    """F1 of each label that occurs or was given, averaged without weights."""
    micro_f1: float
    """F1 over all labels at once; with one label a text it is the accuracy."""
    labels: tuple[LabelMetrics, ...]
    """Of each label, in the order of the alphabet."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Rows are true labels, columns given ones, both in the order of `labels`; None with several a text."""


def score_labels(got: Answers, wanted: Answers, *, multi_label: bool = False) -> LabelScores:
    """Compare the labels of texts with the true ones.

    Raises: ShapeError when they are not equally many.

    >>> scores = score_labels([("a",), ("b",), ("b",)], [("a",), ("a",), ("b",)])
    >>> round(scores.accuracy, 3), round(scores.macro_f1, 3), scores.confusion
    (0.667, 0.667, ((1, 1), (0, 1)))
    """
    if len(got) != len(wanted):
        raise ShapeError(f"{len(got)} answers cannot be compared with {len(wanted)} true ones.")
    given, true, right = Counter[str](), Counter[str](), Counter[str]()
    for one, other in zip(got, wanted, strict=True):
        given.update(one)
        true.update(other)
        right.update(set(one) & set(other))
    names = sorted(given.keys() | true.keys())
    labels = tuple(
        LabelMetrics(label=name, wanted=true[name], got=given[name], right=right[name])
        for name in names
    )
    exact = sum(set(one) == set(other) for one, other in zip(got, wanted, strict=True))
    return LabelScores(
        texts=len(wanted),
        accuracy=exact / max(1, len(wanted)),
        macro_f1=sum(each.f1 for each in labels) / max(1, len(labels)),
        micro_f1=2 * right.total() / max(1, given.total() + true.total()),
        labels=labels,
        confusion=None if multi_label else _confusion(names, got, wanted),
    )


def _confusion(names: Sequence[str], got: Answers, wanted: Answers) -> tuple[tuple[int, ...], ...]:
    # a text without tokens has no label: it is in no column
    met = Counter(
        (other[0], one[0]) for one, other in zip(got, wanted, strict=True) if one and other
    )
    return tuple(tuple(met[true, given] for given in names) for true in names)


@dataclass(frozen=True, kw_only=True)
class NumberScores:
    """Errors in the units of the targets."""

    texts: int
    rmse: float
    mae: float
    r2: float
    """1 - squared error / squared deviation from the mean; 0 where all targets are equal."""
    by_target: Mapping[str, NumberScores] = field(default_factory=dict)
    """With several targets: of each. The scores above are then their means."""


def score_numbers(got: Sequence[float], wanted: Sequence[float]) -> NumberScores:
    """Compare numbers with the true ones.

    Raises: ShapeError when they are not equally many, or none.

    >>> score_numbers([1.0, 2.0], [1.0, 4.0])
    NumberScores(texts=2, rmse=1.4142135623730951, mae=1.0, r2=0.11111111111111116, by_target={})
    """
    if len(got) != len(wanted) or not wanted:
        raise ShapeError(f"{len(got)} answers cannot be compared with {len(wanted)} true ones.")
    count = len(wanted)
    errors = [one - other for one, other in zip(got, wanted, strict=True)]
    squared = math.fsum(error * error for error in errors)
    mean = math.fsum(wanted) / count
    spread = math.fsum((each - mean) ** 2 for each in wanted)
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
