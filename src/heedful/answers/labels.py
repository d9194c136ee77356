"""What answers that choose from a set of labels share: the labels of the training data and their numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from heedful.answers.base import HeadAnswer
from heedful.data.dataset import Dataset
from heedful.data.lexicon import RESERVED, VOCABULARY, Lexicon, load_lexicons, save_lexicons
from heedful.data.words import canonical
from heedful.errors import DataError, nearest

Prediction = TypeVar("Prediction")

LISTED = 40
"""Training labels that an error message lists."""


@dataclass(frozen=True)
class LabelAnswer(HeadAnswer[Prediction]):
    """An answer that is one or more labels of the training data."""

    lexicon: Lexicon

    @staticmethod
    def load_labels(folder: Path) -> Lexicon:
        """Read the labels of a run folder; those of older ones may not be in their canonical form yet."""
        [lexicon] = load_lexicons(folder / VOCABULARY, ["labels"])
        labels = tuple(map(canonical, lexicon.entries))
        return Lexicon(labels) if len(set(labels)) == len(labels) else lexicon

    def save(self, folder: Path) -> None:
        save_lexicons(folder / VOCABULARY, {"labels": self.lexicon})

    def sizes(self) -> dict[str, int]:
        return {"labels": len(self.labels)}

    @property
    def labels(self) -> tuple[str, ...]:
        return self.lexicon.entries

    def numbers(self, labels: Sequence[str]) -> list[int]:
        """Number labels from 0 on; a label that training did not see is -1."""
        return [number - RESERVED for number in self.lexicon.ids(labels)]


def check_seen(train: Dataset, valid: Dataset) -> None:
    """Check that every validation label occurs in training.

    Raises: DataError with file and line of the first that does not, and the nearest training label.
    """
    seen = {label for labels in train.answers for label in labels}
    for row, labels in enumerate(valid.answers):
        for position, label in enumerate(labels):
            if label not in seen:
                raise _unseen(valid, row, position, label, seen)


def _unseen(
    valid: Dataset, row: int, position: int, label: str, seen: Collection[str]
) -> DataError:
    near = nearest(label, seen)
    hint = f"; did you mean {near!r}?" if near else "."
    listed = ", ".join(sorted(seen)[:LISTED])
    return valid.error(
        row,
        f"the label {label!r} is in no training {valid.example}{hint} The training labels are: {listed}.",
        position,
    )
