"""Attention of a node to its neighbours: ranked, and of a small neighbourhood as a laid-out picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heedful.explore.edge_record import EdgeRecord
from heedful.explore.schema import AttentionRecord
from heedful.explore.tokens import html_text

KIND: Final = "neighbours"
RANKED: Final = 30
"""Neighbours that a ranking names."""
DRAWN: Final = 60
"""Nodes of the largest neighbourhood that is laid out."""
_SIZE: Final = 640
_RINGS: Final = 130
"""Pixels between the rings."""


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
    order = np.argsort(-sums.mean(axis=1), kind="stable")
    named = [names[node] for node in found[order[:RANKED]].tolist()]
    shown = sums[order[:RANKED]]
    if len(order) > RANKED:
        named.append(f"{len(order) - RANKED} others")
        shown = np.concatenate([shown, sums[order[RANKED:]].sum(axis=0, keepdims=True)])
    if not named:
        named, shown = [names[0]], np.zeros((1, record.weights.shape[1]), np.float32)
    return AttentionRecord(
        record.module_path,
        KIND,
        record.layer,
        names[:1],
        named,
        shown.T[:, None],
        backend=record.backend,
    )


def draw_neighbourhood(records: Sequence[EdgeRecord], names: Sequence[str]) -> str:
    """Return SVG of a neighbourhood, the first node in the middle; empty for more than `DRAWN` nodes.

    Each node lies on the ring of its distance. The width of an edge is its mean weight over heads, in the layer in
    which it matters: those to the middle in the last, those to its neighbours in the one before.
    """
    if not records or len(names) > DRAWN:
        return ""
    index = records[-1].edge_index
    distance = _distances(index, len(names))
    places = _layout(index, distance)
    lines, titles = [], []
    for source, target in dict.fromkeys(map(tuple, index.T.tolist())):
        layer = len(records) - 1 - int(distance[target])
        if source == target or layer < 0:
            continue
        weight = _weight(records[layer], source, target)
        (x1, y1), (x2, y2) = places[source], places[target]
        lines.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor" '
            f'stroke-opacity="{0.12 + 0.88 * weight:.3f}" stroke-width="{0.5 + 7 * weight:.2f}">'
            f"<title>{html_text(names[target])} attends to {html_text(names[source])}: {weight:.3f}</title></line>"
        )
    for node, (x, y) in enumerate(places):
        radius = 8 if node == 0 else 5
        titles.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{"#c44" if node == 0 else "#48c"}"/>'
            f'<text x="{x + radius + 2:.1f}" y="{y + 4:.1f}" font-size="11" fill="currentColor">'
            f"{html_text(names[node][:24])}</text>"
        )
    return (
        f'<svg viewBox="0 0 {_SIZE} {_SIZE}" style="max-width:{_SIZE}px;width:100%" role="img" '
        f'aria-label="neighbourhood of {html_text(names[0])}">{"".join(lines)}{"".join(titles)}</svg>\n'
    )


def _weight(record: EdgeRecord, source: int, target: int) -> float:
    chosen = (record.edge_index[0] == source) & (record.edge_index[1] == target)
    return float(record.weights[chosen].mean(axis=1).sum()) if chosen.any() else 0.0


def _distances(index: NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    """Return in how many edges each node reaches the first; -1 for none that does."""
    found = np.full(nodes, -1, np.int64)
    found[0], hop = 0, 0
    while True:
        reached = index[0][found[index[1]] == hop]
        new = np.unique(reached[found[reached] < 0])
        if not len(new):
            return found
        hop += 1
        found[new] = hop


def _layout(index: NDArray[np.int64], distance: NDArray[np.int64]) -> list[tuple[float, float]]:
    """Return places on rings; the nodes of a ring lie in the order of those that they point to."""
    angle = np.zeros(len(distance))
    places = [(_SIZE / 2, _SIZE / 2)] * len(distance)
    rings = max(int(distance.max()), 1)
    step = min(_RINGS, (_SIZE / 2 - 50) / rings)
    for hop in range(1, rings + 1):
        ring = np.flatnonzero(distance == hop)
        near = [
            angle[index[1][(index[0] == node) & (distance[index[1]] == hop - 1)]].min(initial=7.0)
            for node in ring
        ]
        for place, node in enumerate(ring[np.argsort(near, kind="stable")].tolist()):
            angle[node] = 2 * math.pi * place / len(ring) + 0.3 * hop
            x, y = math.cos(angle[node]), math.sin(angle[node])
            places[node] = (_SIZE / 2 + hop * step * x, _SIZE / 2 + hop * step * y)
    return places
