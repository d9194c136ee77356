"""What a head could find in a sentence: for each role the words that count as found from each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.trees import ROOT, Tree

Targets = NDArray[np.bool_]
"""(words, words): True where the key counts as found from the query; a query without any is not asked."""

PREVIOUS: Final = "previous word"
NEXT: Final = "next word"
SAME: Final = "same word"
RAREST: Final = "rarest word"
WORD_ROLES: Final = (PREVIOUS, NEXT, SAME, RAREST)
"""The roles that need no tree."""


def word_counts(trees: Iterable[Tree]) -> Counter[str]:
    """Count the words of all sentences in lower case."""
    return Counter(word.lower() for tree in trees for word in tree.words)


def role_targets(tree: Tree, counts: Mapping[str, int]) -> dict[str, Targets]:
    """Return role -> what counts as found, for the roles that the sentence has.

    "nsubj: to its head" asks each subject for its head, "nsubj: from its head" each head for any of its subjects. The
    same word is any other occurrence in the sentence, in lower case. The rarest word is one of those other words of
    the sentence that are the least frequent in `counts`. No word is asked for itself.

    >>> tree = Tree(("dogs", "bark"), (1, None), ("nsubj", "root"))
    >>> found = role_targets(tree, {"dogs": 2, "bark": 1})
    >>> sorted(found)
    ['next word', 'nsubj: from its head', 'nsubj: to its head', 'previous word', 'rarest word']
    >>> found["nsubj: to its head"].tolist()
    [[False, True], [False, False]]
    """
    size = len(tree.words)
    found = {
        PREVIOUS: np.eye(size, k=-1, dtype=np.bool_),
        NEXT: np.eye(size, k=1, dtype=np.bool_),
        SAME: _same(tree.words),
        RAREST: _rarest(tree.words, counts),
    }
    for dependent, (head, relation) in enumerate(zip(tree.heads, tree.relations, strict=True)):
        if head is None or relation == ROOT:
            continue
        for name, query, key in (
            (f"{relation}: to its head", dependent, head),
            (f"{relation}: from its head", head, dependent),
        ):
            found.setdefault(name, np.zeros((size, size), np.bool_))[query, key] = True
    return {name: targets for name, targets in found.items() if targets.any()}


def _same(words: Sequence[str]) -> Targets:
    lower = np.array([word.lower() for word in words])
    same: Targets = lower[:, None] == lower[None, :]
    return same & ~np.eye(len(words), dtype=np.bool_)


def _rarest(words: Sequence[str], counts: Mapping[str, int]) -> Targets:
    frequency = np.array([counts.get(word.lower(), 0) for word in words], np.float64)
    others = np.where(np.eye(len(words), dtype=np.bool_), np.inf, frequency[None, :])
    least = others.min(axis=1, keepdims=True)
    rarest: Targets = (others == least) & np.isfinite(others)
    return rarest
