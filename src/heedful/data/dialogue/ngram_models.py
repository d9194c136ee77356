"""Language models of counts, which know nothing of a history: what a generator of replies has to beat."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NgramModels:
    r"""Unigrams and bigrams of token ids; a sentence begins with the begin token and ends with the end token.

    Unigrams with add-one smoothing, :math:`p(w) = (n_w + 1) / (N + V)`; bigrams interpolated with them by Witten and
    Bell 1991, :math:`p(w \mid v) = (n_{vw} + t_v\, p(w)) / (n_v + t_v)` with :math:`t_v` the distinct tokens after v.

    >>> models = NgramModels.learn([[5, 6], [5, 7]], 8, begin=2, end=3)
    >>> one, two = models.losses([5, 6], begin=2, end=3)
    >>> one > two
    True
    """

    unigrams: Counts
    """(tokens,), how often each is predicted."""
    pairs: Counts
    """(pairs,), first × tokens + second, in increasing order."""
    counts: Counts
    """(pairs,)"""

    @classmethod
    def learn(cls, sentences: Iterable[Sequence[int]], size: int, *, begin: int, end: int) -> Self:
        """Count in sentences of ids below `size`."""
        unigrams = np.zeros(size, np.int64)
        pairs: Counter[int] = Counter()
        for ids in sentences:
            complete = [begin, *ids, end]
            np.add.at(unigrams, complete[1:], 1)
            pairs.update(one * size + two for one, two in itertools.pairwise(complete))
        keys = sorted(pairs)
        counts = np.array([pairs[key] for key in keys], np.int64)
        return cls(unigrams, np.array(keys, np.int64), counts)

    @cached_property
    def _total(self) -> int:
        return int(self.unigrams.sum())

    @cached_property
    def _after(self) -> tuple[NDArray[np.float64], Counts]:
        """How often each token has one after it, and how many distinct ones."""
        size = len(self.unigrams)
        first = self.pairs // max(1, size)
        sums = np.bincount(first, self.counts, minlength=size).astype(np.float64)
        return sums, np.bincount(first, minlength=size)

    @cached_property
    def _table(self) -> dict[int, int]:
        return dict(zip(self.pairs.tolist(), self.counts.tolist(), strict=True))

    def losses(self, ids: Sequence[int], *, begin: int, end: int) -> tuple[float, float]:
        """Return the negative log-probability of a sentence by unigrams and by bigrams, with its end token."""
        size = len(self.unigrams)
        sums, distinct = self._after
        one = two = 0.0
        before = begin
        for token in [*ids, end]:
            unigram = (int(self.unigrams[token]) + 1) / (self._total + size)
            weight = float(distinct[before])
            scale = float(sums[before]) + weight
            found = self._table.get(before * size + token, 0)
            bigram = (found + weight * unigram) / scale if scale else unigram
            one -= math.log(unigram)
            two -= math.log(bigram)
            before = token
        return one, two
