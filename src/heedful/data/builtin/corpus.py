"""Built-in corpora: generated data with training, validation and test splits."""

from __future__ import annotations

from dataclasses import dataclass

from heedful.data.files import Pairs
from heedful.data.labelled import Labelled

Links = frozenset[tuple[int, int]]
"""Character alignment: zero-based (source position, target position) pairs."""


@dataclass(frozen=True)
class Corpus:
    """Generated pairs, split so that no test item occurs in training."""

    train: Pairs
    valid: Pairs
    test: Pairs
    description: str
    """One paragraph for display: the task, its formats and the split."""
    test_links: tuple[Links, ...] | None = None
    """The gold alignment of each test pair, if known."""


@dataclass(frozen=True)
class TaggedCorpus:
    """Generated sentences with a label for each token, split so that no test sentence occurs in training."""

    train: Labelled
    valid: Labelled
    test: Labelled
    description: str
    """One paragraph for display: the task, its formats and the split."""
    test_distances: tuple[tuple[int | None, ...], ...]
    """For each test token, the offset (negative: to the left) of the word that determines its label; None: itself."""
