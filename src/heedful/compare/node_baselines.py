"""Baselines of nodes: a linear model of features without edges, and answers spread along edges without features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F

from heedful.compare.baseline import Numbers, Targets, by_column
from heedful.data.graphs.graph import Graph, Node
from heedful.inputs.nodes import Nodes

KEPT: Final = 0.9
"""Share of a node's estimate that comes from its neighbours, α."""
ROUNDS: Final = 100
"""Rounds of spreading: what is further away than so many edges counts nothing."""


def linear(train: Sequence[Node], others: Sequence[Node], targets: Targets) -> Numbers:
    """Fit logistic regression to labels and ridge regression to numbers, on the features that a network reads."""
    known, wanted = _features(train, others, targets.config)
    if targets.kind == "label":
        return _classes(known, wanted, targets.values)

    @by_column
    def fit(rows: Any, asked: Any, column: Numbers, is_label: bool, seed: int) -> Numbers:
        chosen = known[np.asarray(rows)]
        if is_label:
            return _classes(chosen, wanted, np.stack([1 - column, column], axis=1))[:, 1]
        from sklearn.linear_model import Ridge

        return np.asarray(Ridge().fit(chosen, column).predict(wanted), np.float64)

    return fit(range(len(train)), others, targets)


def _features(train: Sequence[Node], others: Sequence[Node], config: Any) -> tuple[Any, Any]:
    """Return numbers, words and categories of nodes as sparse matrices (nodes, features)."""
    from scipy.sparse import csr_array, hstack

    inputs = Nodes.learn(config, train)
    found = []
    for nodes in (train, others):
        if not len(nodes):
            found.append(csr_array((0, inputs.features.numbers + inputs.features.size)))
            continue
        encoded = inputs.encode([nodes[0]])[0].graph
        rows = np.array([node.number for node in nodes])
        entries = encoded.entries.take(rows)
        words = csr_array(
            (entries.values, entries.columns, entries.start), shape=(len(rows), entries.width)
        )
        found.append(hstack([csr_array(encoded.numbers[rows]), words], format="csr"))
    return found[0], found[1]


def _classes(known: Any, wanted: Any, values: Numbers) -> Numbers:
    """Return probabilities of classes that are given as columns of 0 and 1."""
    from sklearn.linear_model import LogisticRegression

    numbers = values.argmax(axis=1)
    present = np.unique(numbers)
    found = np.zeros((wanted.shape[0], values.shape[1]))
    if len(present) == 1:
        found[:, present] = 1.0
    elif len(found):
        model = LogisticRegression(max_iter=1000).fit(known, numbers)
        found[:, present] = model.predict_proba(wanted)
    return found


def propagation(train: Sequence[Node], others: Sequence[Node], targets: Targets) -> Numbers:
    r"""Spread the answers of training nodes along the edges (Zhou et al. 2004, "Learning with local and global
    consistency").

    .. math:: F = (1 - \alpha) \sum_{k \le 100} (\alpha D^{-1/2} A D^{-1/2})^k Y, \qquad
        \hat y_i = F(Y)_i / F(\text{known})_i

    A node that no training node reaches, as in another graph, has the mean of the training answers.
    """
    graph = train[0].graph

    @by_column
    def fit(
        known: Sequence[Node], asked: Sequence[Node], column: Numbers, is_label: bool, seed: int
    ) -> Numbers:
        first = np.zeros((len(graph), 2))
        rows = np.array([node.number for node in known])
        first[rows, 0], first[rows, 1] = column, 1.0
        total, reached = _spread(graph, first).T
        mean = column.mean()
        estimate = np.divide(total, reached, out=np.full(len(graph), mean), where=reached > 0)
        return np.array([estimate[node.number] if node.graph is graph else mean for node in asked])

    return fit(train, others, targets)


def _spread(graph: Graph, first: Numbers) -> Numbers:
    """Return the answers (nodes, columns) after all rounds."""
    degrees = np.maximum(np.diff(graph.start), 1).astype(np.float64)
    sources, start = torch.from_numpy(graph.sources), torch.from_numpy(graph.start)
    targets = np.repeat(np.arange(len(graph)), np.diff(graph.start))
    weights = torch.from_numpy(1 / np.sqrt(degrees[graph.sources] * degrees[targets]))
    begun = torch.from_numpy((1 - KEPT) * first)
    found = begun
    for _ in range(ROUNDS):
        moved = F.embedding_bag(
            sources, found, start, mode="sum", per_sample_weights=weights, include_last_offset=True
        )
        found = begun + KEPT * moved
    return found.numpy()
