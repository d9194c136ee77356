"""How well word alignments agree with gold ones: alignment error rate, precision and recall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.data.links import Link, Links


@dataclass(frozen=True)
class AlignmentScores:
    r"""Scores of links A against sure links S and possible links P ⊇ S (Och and Ney 2003, section 4.2).

    .. math:: AER = 1 - \frac{|A \cap S| + |A \cap P|}{|A| + |S|}
    """

    error_rate: float
    precision: float
    """|A ∩ P| / |A|."""
    recall: float
    """|A ∩ S| / |S|."""
    links: int
    """|A|."""


def score_links(found: Sequence[Iterable[Link]], gold: Sequence[Links]) -> AlignmentScores:
    """Score the links of some pairs; 0 links have precision 1.

    >>> gold = [Links(frozenset({(0, 0)}), frozenset({(0, 0), (1, 0)}))]
    >>> score_links([[(0, 0), (1, 0), (2, 0)]], gold)
    AlignmentScores(error_rate=0.25, precision=0.6666666666666666, recall=1.0, links=3)
    """
    sure = possible = links = wanted = 0
    for own, each in zip(found, gold, strict=True):
        own_links = set(own)
        links += len(own_links)
        wanted += len(each.sure)
        sure += len(own_links & each.sure)
        possible += len(own_links & each.possible)
    return AlignmentScores(
        error_rate=1 - (sure + possible) / max(links + wanted, 1),
        precision=possible / links if links else 1.0,
        recall=sure / wanted if wanted else 1.0,
        links=links,
    )


def best_links(weights: NDArray[np.floating]) -> list[Link]:
    """Return for each target word the source word of largest weight: (target, source) -> links.

    >>> best_links(np.array([[0.9, 0.1], [0.3, 0.7]]))
    [(0, 0), (1, 1)]
    """
    return [(int(source), target) for target, source in enumerate(weights.argmax(axis=1))]
