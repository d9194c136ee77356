"""IBM Model 1: which target token a source token is translated by, learned from aligned pairs alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from heedful.data.packed_ids import Ids

ITERATIONS: Final = 5
PAIRS: Final = 30_000
"""Pairs that probabilities are learned from; of more, some that lie evenly apart."""

Texts = Sequence[Ids | Sequence[int]]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LexicalModel:
    r"""The probabilities :math:`p(t \mid s)` of target tokens t, given a source token s.

    They are those of

    .. math:: p(y \mid x) \propto \prod_j \sum_i p(y_j \mid x_i)

    found by expectation maximization from equal ones on (Brown et al. 1993, https://aclanthology.org/J93-2003).

    >>> model = LexicalModel.learn([[4, 5], [5, 4], [4]], [[7, 8], [8, 7], [7]], sizes=(9, 9))
    >>> model.align([4, 5], [8, 7])
    [1, 0]
    """

    source: Numbers
    """(links,), the source token of each distinct link, in increasing order."""
    target: Numbers
    """(links,), its target token, in increasing order for one source token."""
    probability: NDArray[np.float64]
    """(links,)."""
    size: int
    """Of the target vocabulary."""

    @classmethod
    def learn(cls, sources: Texts, targets: Texts, *, sizes: tuple[int, int]) -> Self:
        """Learn from the ids of pairs, `sizes` being those of the vocabularies."""
        texts = [
            (np.asarray(sources[row], np.int64), np.asarray(targets[row], np.int64))
            for row in sampled_rows(len(sources))
        ]
        texts = [pair for pair in texts if len(pair[0]) and len(pair[1])]
        keys = [source[None, :] * sizes[1] + target[:, None] for source, target in texts]
        lengths = np.concatenate([np.full(len(target), len(source)) for source, target in texts])
        links, of_link = np.unique(
            np.concatenate([key.ravel() for key in keys]), return_inverse=True
        )
        source = links // sizes[1]
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        probability: NDArray[np.float64] = np.ones(len(links))
        for _ in range(ITERATIONS):
            shares = probability[of_link]
            shares /= np.repeat(np.add.reduceat(shares, starts), lengths)
            counts = np.bincount(of_link, shares, minlength=len(links))
            probability = counts / np.bincount(source, counts, minlength=sizes[0])[source]
        return cls(source, links % sizes[1], probability, sizes[1])

    def best(self, size: int, sources: int) -> NDArray[np.int32]:
        """Return the likeliest target tokens of each source token, (sources, size), -1 where there are no more."""
        order = np.lexsort((self.target, -self.probability, self.source))
        first = np.searchsorted(self.source, np.arange(sources))
        ranks = np.arange(len(order)) - first[self.source]
        kept = ranks < size
        table = np.full((sources, size), -1, np.int32)
        table[self.source[kept], ranks[kept]] = self.target[order[kept]]
        return table

    def align(self, source: Sequence[int], target: Sequence[int]) -> list[int]:
        """Return for each target token the place of the source token that it most probably comes from, -1 for none."""
        keys = np.asarray(source)[None, :] * self.size + np.asarray(target)[:, None]
        known = self.source * self.size + self.target
        places = np.searchsorted(known, keys).clip(max=len(known) - 1)
        found = np.where(known[places] == keys, self.probability[places], 0.0)
        best: list[int] = np.where(found.max(axis=1) > 0, found.argmax(axis=1), -1).tolist()
        return best


def sampled_rows(count: int) -> range:
    """Return the rows of so many pairs that are read."""
    return range(0, count, max(1, -(-count // PAIRS)))
