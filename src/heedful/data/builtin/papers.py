"""The graph `papers`: papers with few words that cite papers of their own subject, mostly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from heedful.data.graphs.graph import Graph
from heedful.data.graphs.nodes import NodeTable

SUBJECTS: Final = ("attention", "graphs", "speech", "vision")
WORDS: Final = 30
"""Words of a subject; half of those of a paper are of any subject."""
OWN: Final = 0.8
"""Share of citations within the subject."""


@dataclass(frozen=True)
class GraphCorpus:
    """A generated graph with both kinds of answer."""

    table: NodeTable
    """Answers are a subject and a number."""
    description: str

    def with_answers(self, is_label: bool) -> NodeTable:
        """Return the nodes with their subject, or else with their number."""
        answers = [(each[0 if is_label else 1],) for each in self.table.labelled]
        return replace(self.table, labelled=answers)


DESCRIPTION: Final = (
    "600 papers of four subjects. A paper has six words, of which half say little, an age, and citations, four in five "
    "of them within its subject. The label is the subject, the number the mean age of the papers that it is joined to. "
    "80 papers are for training, 120 for validation, 200 for the test; the others are neighbours."
)


def build(seed: int = 0, *, size: int = 600) -> GraphCorpus:
    """Generate the graph, deterministically.

    >>> corpus = build(size=60)
    >>> len(corpus.table.graph), corpus.with_answers(True).part("train").answers[0]
    (60, ('attention',))
    """
    rng = np.random.default_rng(seed)
    subject = np.arange(size) % len(SUBJECTS)
    age = np.round(rng.gamma(2.0, 4.0, size), 1)
    words = []
    for own in subject:
        of = np.where(rng.random(6) < 0.5, own, rng.integers(len(SUBJECTS), size=6))
        words.append(" ".join(f"{SUBJECTS[k][:3]}{rng.integers(WORDS)}" for k in of))
    pairs = set()
    for paper, own in enumerate(subject):
        for _ in range(3):
            near = rng.random() < OWN
            choices = np.flatnonzero((subject == own) if near else (subject != own))
            other = int(rng.choice(choices))
            if other != paper:
                pairs.add((min(paper, other), max(paper, other)))
    index = np.array(sorted(pairs), dtype=np.int64).T
    edges = np.concatenate([index, index[::-1]], axis=1)
    sums = np.bincount(edges[1], weights=age[edges[0]], minlength=size)
    mean = sums / np.maximum(np.bincount(edges[1], minlength=size), 1)
    columns = {"words": words, "age": [f"{each:g}" for each in age]}
    ids = [f"paper{n}" for n in range(size)]
    graph = Graph(ids, columns, edges, {}, "builtin:papers")
    answers = [(SUBJECTS[own], f"{value:.3f}") for own, value in zip(subject, mean, strict=True)]
    return GraphCorpus(
        NodeTable(graph, np.arange(size), answers, "builtin:papers", _parts(size)), DESCRIPTION
    )


def _parts(size: int) -> list[str]:
    """The first papers are for training, then come those for validation and test."""
    ends = np.cumsum([size * 2 // 15, size // 5, size // 3])
    names = ("train", "valid", "test", "")
    return [names[int(np.searchsorted(ends, n, side="right"))] for n in range(size)]
