"""The overlap of words of a history and a reply, TF-IDF: what a learned ranker has to beat."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from heedful.data.words import words

Vector = Mapping[str, float]


@dataclass(frozen=True)
class WordOverlap:
    r"""The cosine of TF-IDF vectors, :math:`v_w = n_w (\ln\frac{1 + N}{1 + d_w} + 1)` (Salton and Buckley 1988).

    >>> overlap = WordOverlap.learn(["a red car", "a blue car"])
    >>> one, other, third = (overlap.vector(text) for text in ("a red car", "red", "blue"))
    >>> overlap.cosine(one, other) > overlap.cosine(one, third)
    True
    """

    frequencies: Mapping[str, int]
    """Word -> the texts it is in."""
    texts: int

    @classmethod
    def learn(cls, texts: Sequence[str]) -> Self:
        """Count in how many texts each word is."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(set(_words(text)))
        return cls(dict(sorted(counts.items())), len(texts))

    def vector(self, text: str) -> Vector:
        """Return the vector of a text, of length 1."""
        counts = Counter(_words(text))
        values = {
            word: count * (math.log((1 + self.texts) / (1 + self.frequencies.get(word, 0))) + 1)
            for word, count in counts.items()
        }
        norm = math.sqrt(sum(value * value for value in values.values())) or 1.0
        return {word: value / norm for word, value in values.items()}

    @staticmethod
    def cosine(one: Vector, other: Vector) -> float:
        """Return the cosine of two vectors of length 1."""
        if len(other) < len(one):
            one, other = other, one
        return sum(value * other.get(word, 0.0) for word, value in one.items())

    def scores(
        self, histories: Iterable[str], replies: Sequence[str], candidates: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the cosine of each history with its candidates, (histories, candidates); rows of -1 give NaN."""
        vectors = [self.vector(reply) for reply in replies]
        found = np.full(candidates.shape, np.nan)
        for row, (history, places) in enumerate(zip(histories, candidates.tolist(), strict=True)):
            if places[0] >= 0:
                own = self.vector(history)
                found[row] = [self.cosine(own, vectors[place]) for place in places]
        return found


def _words(text: str) -> list[str]:
    return words(text.lower())
