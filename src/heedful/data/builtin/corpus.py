"""What a built-in corpus is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from heedful.data.files import Pairs
from heedful.data.labelled import Labelled

Links = frozenset[tuple[int, int]]
"""Which characters go together: (position in the source text, position in the target text), from 0."""

Data = TypeVar("Data")


@dataclass(frozen=True)
class BuiltinCorpus(Generic[Data]):
    """Generated training, validation and test data."""

    train: Data
    valid: Data
    test: Data
    description: str
    """One paragraph for people: what is asked, in what forms, how it is split."""

    def part(self, name: Literal["train", "valid", "test"]) -> Data:
        """Return one part by its name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[name]


@dataclass(frozen=True)
class Corpus(BuiltinCorpus[Pairs]):
    """Pairs made by rule, split so that nothing asked in the test was answered in the training."""

    test_links: tuple[Links, ...] | None = None
    """For each test pair the characters that truly go together, where that is known."""


@dataclass(frozen=True)
class TaggedCorpus(BuiltinCorpus[Labelled]):
    """Sentences made by rule with a label for each token, split so that no test sentence is in the training."""

    test_distances: tuple[tuple[int | None, ...], ...]
    """For each test token, how many words to the right (negative: left) the word stands that decides its label."""
