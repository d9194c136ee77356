"""Built-in corpora: generated data with training, validation and test splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from heedful.data.files import Pairs
from heedful.data.labelled import Labelled

Links = frozenset[tuple[int, int]]
"""Character alignment: zero-based (source position, target position) pairs."""

Data = TypeVar("Data")


@dataclass(frozen=True)
class BuiltinCorpus(Generic[Data]):
    """Generated training, validation and test data."""

    train: Data
    valid: Data
    test: Data
    description: str
    """One paragraph for display: the task, its formats and the split."""

    def part(self, name: Literal["train", "valid", "test"]) -> Data:
        """Return one part by its name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[name]


@dataclass(frozen=True)
class Corpus(BuiltinCorpus[Pairs]):
    """Generated pairs, split so that no test item occurs in training."""

    test_links: tuple[Links, ...] | None = None
    """The gold alignment of each test pair, if known."""


@dataclass(frozen=True)
class TaggedCorpus(BuiltinCorpus[Labelled]):
    """Generated sentences with a label for each token, split so that no test sentence occurs in training."""

    test_distances: tuple[tuple[int | None, ...], ...]
    """For each test token, the offset (negative: to the left) of the word that determines its label; None: itself."""
