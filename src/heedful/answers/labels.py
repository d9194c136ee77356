"""Base class of answers that are labels: the label set of the training data and its indices."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

from heedful.answers.base import HeadAnswer
from heedful.data.dataset import Dataset
from heedful.data.lexicon import RESERVED, VOCABULARY, Lexicon, load_lexicons, save_lexicons
from heedful.data.words import canonical
from heedful.errors import DataError, nearest, shown

Prediction = TypeVar("Prediction")

LISTED = 40
"""Maximum labels listed in an error message."""


@dataclass(frozen=True)
class LabelAnswer(HeadAnswer[Prediction]):
    """An answer of one or more labels that occur in the training data."""

    lexicon: Lexicon

    @staticmethod
    def load_labels(folder: Path) -> Lexicon:
        """Load the label set of a run folder; labels of older runs may not be in canonical form."""
        [lexicon] = load_lexicons(folder / VOCABULARY, ["labels"])
        labels = tuple(map(canonical, lexicon.entries))
        return Lexicon(labels) if len(set(labels)) == len(labels) else lexicon

    def extend(self, initial: Self) -> Self:
        return replace(self, lexicon=initial.lexicon.union(self.lexicon))

    def save(self, folder: Path) -> None:
        save_lexicons(folder / VOCABULARY, {"labels": self.lexicon})

    def sizes(self) -> dict[str, int]:
        return {"labels": len(self.labels)}

    @property
    def labels(self) -> tuple[str, ...]:
        return self.lexicon.entries

    def label_indices(self, labels: Sequence[str]) -> list[int]:
        """Return the zero-based index of each label; -1 for a label not in the training data."""
        return [label_id - RESERVED for label_id in self.lexicon.ids(labels)]


def check_seen(train: Dataset, valid: Dataset) -> None:
    """Check that every validation label occurs in training.

    Raises: DataError naming file, line and the nearest training label, for the first that does not.
    """
    seen = {label for labels in train.answers for label in labels}
    check_seen_labels(seen, valid.example, valid, valid.answers)


def check_seen_labels(
    seen: Collection[str], example: str, data: Dataset, labels: Sequence[Sequence[str]]
) -> None:
    """Check that the labels of each example of `data` are among those `seen` in training.

    Raises: DataError as `check_seen`.
    """
    for row, of_example in enumerate(labels):
        for position, label in enumerate(of_example):
            if label not in seen:
                raise _unseen(data, row, position, label, seen, example)


def _unseen(
    valid: Dataset, row: int, position: int, label: str, seen: Collection[str], example: str
) -> DataError:
    near = nearest(label, seen)
    hint = f"; did you mean {shown(near)}?" if near else "."
    listed = ", ".join(sorted(seen)[:LISTED])
    return valid.error(
        row,
        f"the label {shown(label)} is in no training {example}{hint} The training labels are: {listed}.",
        position,
    )
