"""Places of the nodes of a small graph on a page."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Places = NDArray[np.float64]
"""(nodes, 2), from 0 to 1."""

ROUNDS: Final = 200


def hops(index: Indices, nodes: int, first: int = 0) -> Indices:
    """Return in how many edges, (2, edges) of sources and targets, each node reaches the first; -1 for none that does.

    >>> hops(np.array([[1, 2], [0, 1]]), 4).tolist()
    [0, 1, 2, -1]
    """
    found = np.full(nodes, -1, np.int64)
    found[first], hop = 0, 0
    while True:
        reached = index[0][found[index[1]] == hop]
        new = np.unique(reached[found[reached] < 0])
        if not len(new):
            return found
        hop += 1
        found[new] = hop


def rings(index: Indices, distance: Indices) -> Places:
    """Return places on rings by the distance to the first node; those of a ring in the order of what they point to.

    >>> rings(np.array([[1], [0]]), np.array([0, 1])).round(2).tolist()[0]
    [0.5, 0.5]
    """
    angle = np.zeros(len(distance))
    places = np.full((len(distance), 2), 0.5)
    count = max(int(distance.max()), 1)
    for hop in range(1, count + 1):
        ring = np.flatnonzero(distance == hop)
        near = [
            angle[index[1][(index[0] == node) & (distance[index[1]] == hop - 1)]].min(initial=7.0)
            for node in ring
        ]
        for place, node in enumerate(ring[np.argsort(near, kind="stable")].tolist()):
            angle[node] = 2 * math.pi * place / len(ring) + 0.3 * hop
            step = np.array([math.cos(angle[node]), math.sin(angle[node])])
            places[node] = 0.5 + 0.5 * hop / count * step
    return places


def by_stress(index: Indices, nodes: int) -> Places:
    r"""Return places whose distances are those in the graph, as far as that can be.

    .. math:: \sum_{i < j} d_{ij}^{-2} (\|x_i - x_j\| - d_{ij})^2

    is made small by majorization (Gansner et al. 2005, https://doi.org/10.1007/978-3-540-31843-9_25), from the same
    start each time. Parts that are not connected are as far apart as the longest path is long, and one edge more.

    >>> places = by_stress(np.array([[0, 1], [1, 2]]), 3)
    >>> bool(abs(np.linalg.norm(places[0] - places[2]) - 2 * np.linalg.norm(places[0] - places[1])) < 0.01)
    True
    """
    both = np.concatenate([index, index[::-1]], axis=1)
    wanted = np.stack([hops(both, nodes, node) for node in range(nodes)]).astype(np.float64)
    wanted[wanted < 0] = wanted.max() + 1
    weight = 1 / np.maximum(wanted, 1) ** 2
    np.fill_diagonal(weight, 0)
    places = np.random.default_rng(0).standard_normal((nodes, 2)) * max(nodes, 1) ** 0.5
    for _ in range(ROUNDS if nodes > 1 else 0):
        apart = places[:, None] - places[None]
        length = np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 1e-9)
        moved = places[None] + wanted[..., None] * apart / length
        places = (weight[..., None] * moved).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    low, high = places.min(axis=0), places.max(axis=0)
    return np.asarray(0.5 + (places - (low + high) / 2) / max(float((high - low).max()), 1e-9))
