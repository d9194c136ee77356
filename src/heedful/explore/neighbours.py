"""Attention of a node to its neighbours: ranked, and of a small neighbourhood among all its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.explore.edge_record import EdgeRecord
from heedful.explore.schema import AttentionRecord

KIND: Final = "neighbours"
EDGES: Final = "edges"
"""Kinds of records: of the neighbours of a node, and of all edges around it."""
RANKED: Final = 30
"""Neighbours that a ranking names."""


def ranked_records(records: Sequence[EdgeRecord], names: Sequence[str]) -> list[AttentionRecord]:
    """Return for each layer the weights of the first node's neighbours, largest first; beyond `RANKED` their sum.

    >>> index, weights = np.array([[1, 2, 0], [0, 0, 1]]), np.array([[0.25], [0.75], [1.0]])
    >>> [record] = ranked_records([EdgeRecord("a", "encoder", 0, index, weights, 3, 3, "")], ["x", "y", "z"])
    >>> record.query_tokens, record.key_tokens, record.weights.tolist()
    (('x',), ('z', 'y'), [[[0.75, 0.25]]])
    """
    return [_ranked(record, names) for record in records]


def _ranked(record: EdgeRecord, names: Sequence[str]) -> AttentionRecord:
    chosen = record.edge_index[1] == 0
    sources, weights = record.edge_index[0][chosen], record.weights[chosen]
    # An edge that is listed twice has two weights.
    found, place = np.unique(sources, return_inverse=True)
    sums = np.zeros((len(found), record.weights.shape[1]), np.float32)
    np.add.at(sums, place, weights)
    named = [names[node] for node in found.tolist()]
    if not named:
        named, sums = [names[0]], np.zeros((1, record.weights.shape[1]), np.float32)
    return ranked(_record(record, KIND, names[:1], named, sums.T[:, None]))


def ranked(record: AttentionRecord) -> AttentionRecord:
    """Return a record of one row with its keys from the largest mean weight on; beyond `RANKED` their sum.

    >>> ranked(AttentionRecord("", "pooling", 0, ["a"], ["x", "y"], [[[0.25, 0.75]]])).key_tokens
    ('y', 'x')
    """
    weights = record.weights[:, 0]
    order = np.argsort(-weights.mean(axis=0), kind="stable")
    named = [record.key_tokens[place] for place in order[:RANKED].tolist()]
    shown = weights[:, order[:RANKED]]
    if len(order) > RANKED:
        named.append(f"{len(order) - RANKED} others")
        rest = weights[:, order[RANKED:]].sum(axis=1, keepdims=True)
        shown = np.concatenate([shown, rest], axis=1)
    return replace(record, key_tokens=named, weights=shown[:, None], mask=None)


def dense_records(records: Sequence[EdgeRecord], names: Sequence[str]) -> list[AttentionRecord]:
    """Return the weights among all nodes of a small neighbourhood, a matrix for each layer and head."""
    found = []
    for record in records:
        sources, targets = record.edge_index
        weights = np.zeros((record.weights.shape[1], len(names), len(names)), np.float32)
        for head, matrix in enumerate(weights):
            np.add.at(matrix, (targets, sources), record.weights[:, head])
        allowed = np.zeros((1, len(names), len(names)), np.bool_)
        allowed[0, targets, sources] = True
        found.append(replace(_record(record, EDGES, names, names, weights), mask=allowed))
    return found


def received_records(records: Sequence[EdgeRecord], names: Sequence[str]) -> list[AttentionRecord]:
    """Return the attention that each node of a large graph gets, the mean over all nodes, a row for each head."""
    found = []
    for record in records:
        weights = np.stack(
            [np.bincount(record.edge_index[0], each, len(names)) for each in record.weights.T]
        )
        rows = ["all nodes"]
        found.append(_record(record, record.kind, rows, names, weights[:, None] / len(names)))
    return found


def flow(records: Sequence[EdgeRecord], nodes: int) -> NDArray[np.float64]:
    """Return how much of each node reaches the first through the layers, by the mean weights of their heads.

    >>> index = np.array([[1, 2], [0, 1]])
    >>> layer = EdgeRecord("a", "encoder", 0, index, np.array([[1.0], [0.5]]), 3, 3, "")
    >>> flow([layer, layer], 3).tolist()
    [0.0, 0.0, 0.5]
    """
    found: NDArray[np.float64] = np.zeros(nodes)
    found[0] = 1.0
    for record in reversed(records):
        sources, targets = record.edge_index
        shares = found[targets] * record.weights.mean(axis=1)
        found = np.bincount(sources, shares, nodes).astype(np.float64)
    return found


def _record(
    record: EdgeRecord, kind: str, rows: Sequence[str], names: Sequence[str], weights: Any
) -> AttentionRecord:
    return AttentionRecord(
        record.module_path, kind, record.layer, rows, names, weights, backend=record.backend
    )
