"""What a built-in corpus is."""

from __future__ import annotations

from dataclasses import dataclass

from heedful.data.files import Pairs
from heedful.data.labelled import Labelled

Links = frozenset[tuple[int, int]]
"""Which characters go together: (position in the source text, position in the target text), from 0."""


@dataclass(frozen=True)
class Corpus:
    """Pairs made by rule, split so that nothing asked in the test was answered in the training."""

    train: Pairs
    valid: Pairs
    test: Pairs
    description: str
    """One paragraph for people: what is asked, in what forms, how it is split."""
    test_links: tuple[Links, ...] | None = None
    """For each test pair the characters that truly go together, where that is known."""


@dataclass(frozen=True)
class TaggedCorpus:
    """Sentences made by rule with a label for each token, split so that no test sentence is in the training."""

    train: Labelled
    valid: Labelled
    test: Labelled
    description: str
    """One paragraph for people: what is asked, in what forms, how it is split."""
    test_distances: tuple[tuple[int | None, ...], ...]
    """For each test token, how many words to the right (negative: left) the word stands that decides its label."""
