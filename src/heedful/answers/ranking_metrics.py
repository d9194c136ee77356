"""Metrics of ranked replies: hits and mean reciprocal rank among candidates, beside those of the overlap of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.answers.base import Numbers, Rows


class Ranks(NamedTuple):
    """The rank of each true reply, from 1; NaN where there are too few candidates."""

    any_group: Numbers
    """Among candidates of all groups."""
    alike: Numbers
    """Among those of its own group."""


def ranks_among(scores: Numbers, drawn: NDArray[np.int64]) -> Numbers:
    """Return the rank of the first candidate of each row by its score; ties count half.

    Args:
        scores: (replies, candidates), the true one first.
        drawn: (replies, candidates), the rows of the candidates; -1 where there are too few.

    >>> ranks_among(np.array([[0.5, 0.9, 0.1], [0.2, 0.2, 0.0], [0, 0, 0]]), np.array([[0, 1, 2], [1, 0, 2], [-1] * 3]))
    array([2. , 1.5, nan])
    """
    own, others = scores[:, :1], scores[:, 1:]
    ranks = 1 + (others > own).sum(1) + 0.5 * (others == own).sum(1)
    return np.where(drawn[:, 0] >= 0, ranks, np.nan)


@dataclass(frozen=True, kw_only=True)
class RankingScores:
    """How often the true reply is the first, or among the first five, of the candidates; NaN if never counted."""

    replies: int
    candidates: int
    hits_1: float
    hits_5: float
    mrr: float
    counted: int
    """Replies that had enough candidates."""
    hits_1_alike: float
    """Among candidates of the same group."""
    hits_5_alike: float
    mrr_alike: float
    counted_alike: int
    overlap_hits_1: float
    """Of ranking by the overlap of words (TF-IDF)."""
    overlap_hits_1_alike: float
    groups: int

    @classmethod
    def of(cls, ranks: Ranks, overlap: Ranks, data: Any) -> RankingScores:
        """Compute the metrics from ranks."""
        one, alike = (_measures(each) for each in ranks)
        return cls(
            replies=len(data), candidates=data.candidates,
            hits_1=one[0], hits_5=one[1], mrr=one[2], counted=int(one[3]),
            hits_1_alike=alike[0], hits_5_alike=alike[1], mrr_alike=alike[2], counted_alike=int(alike[3]),
            overlap_hits_1=_measures(overlap.any_group)[0],
            overlap_hits_1_alike=_measures(overlap.alike)[0],
            groups=len({each.group for each in data.rows}),
        )  # fmt: skip

    def tables(self) -> list[Rows]:
        """Return the display table."""
        titles = ["", f"any of {self.candidates} candidates"]
        columns: list[tuple[float, ...]] = [
            (self.hits_1, self.hits_5, self.mrr, self.overlap_hits_1, 1 / self.candidates,
             self.counted),
        ]  # fmt: skip
        if self.groups > 1:
            titles.append("of the same group")
            columns.append(
                (self.hits_1_alike, self.hits_5_alike, self.mrr_alike, self.overlap_hits_1_alike,
                 1 / self.candidates, self.counted_alike)
            )  # fmt: skip
        names = ("hits@1", "hits@5", "MRR", "hits@1 of TF-IDF", "hits@1 by chance", "replies")
        rows = [
            [name, *(_shown(name, column[place]) for column in columns)]
            for place, name in enumerate(names)
        ]
        return [[titles, *rows]]


def _shown(name: str, value: float) -> str:
    if name == "replies":
        return f"{value:,.0f}"
    return "–" if np.isnan(value) else f"{value:.3f}"


def _measures(ranks: Numbers) -> Sequence[float]:
    """Return hits at 1 and 5, the mean reciprocal rank, and how many are counted."""
    counted = ranks[~np.isnan(ranks)]
    if not len(counted):
        return (float("nan"),) * 3 + (0.0,)
    means = ((counted <= 1).mean(), (counted <= 5).mean(), (1 / counted).mean())
    return (*map(float, means), float(len(counted)))
