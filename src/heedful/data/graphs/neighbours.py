"""The neighbourhood of some nodes: all that a model of so many layers reads, or a sample of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from heedful.data.graphs.graph import Graph, Indices


class Neighbourhood(NamedTuple):
    """A part of a graph, its nodes numbered anew."""

    nodes: Indices
    """(nodes,): the nodes of the graph; first those asked for, then their neighbours, then those of these."""
    edges: Indices
    """(2, edges): sources and targets, as places in `nodes`."""
    listed: Indices
    """(edges,): the edges of the graph, as columns of `Graph.edges`."""


def neighbourhood(
    graph: Graph, nodes: Indices, hops: int, most: Sequence[int] = (), seed: int = 0
) -> Neighbourhood:
    r"""Return the nodes that reach `nodes` in at most `hops` edges, and the edges that point to all but the last.

    A model of as many layers gives `nodes` the states that it gives them in the whole graph. With `most`, at most so
    many edges of each node are followed at each hop, drawn without replacement (Hamilton et al. 2017,
    https://arxiv.org/abs/1706.02216): with n nodes and k₁, k₂ at most n(k₁ + k₁k₂) edges. The choice depends on the
    seed, the hop and the edges alone.

    >>> graph = Graph("abcd", {}, np.array([[1, 2, 3], [0, 1, 2]]))
    >>> found = neighbourhood(graph, np.array([0]), 2)
    >>> found.nodes.tolist(), found.edges.tolist(), found.listed.tolist()
    ([0, 1, 2], [[1, 2], [0, 1]], [0, 1])
    """
    place = np.full(len(graph), -1, np.int64)
    found, frontier, count = [nodes], nodes, len(nodes)
    place[nodes] = np.arange(count)
    sources, targets, listed = [], [], []
    for hop in range(hops):
        positions, rows = edges_of(graph, frontier)
        if hop < len(most):
            positions, rows = _sample(positions, rows, most[hop], seed + hop)
        into = graph.sources[positions]
        new = np.unique(into[place[into] < 0])
        place[new] = count + np.arange(len(new))
        count += len(new)
        sources.append(place[into])
        targets.append(place[frontier][rows])
        listed.append(graph.order[positions])
        found.append(new)
        frontier = new
    none = [np.zeros(0, np.int64)]
    edges = np.stack([np.concatenate(sources or none), np.concatenate(targets or none)])
    return Neighbourhood(np.concatenate(found), edges, np.concatenate(listed or none))


def edges_of(graph: Graph, nodes: Indices) -> tuple[Indices, Indices]:
    """Return the edges that point to some nodes, as positions in `Graph.order`, and for each the row of its node."""
    begin, counts = graph.start[nodes], graph.start[nodes + 1] - graph.start[nodes]
    rows = np.repeat(np.arange(len(nodes)), counts)
    first = np.cumsum(counts) - counts
    return np.arange(len(rows)) + np.repeat(begin - first, counts), rows


def _sample(positions: Indices, rows: Indices, most: int, seed: int) -> tuple[Indices, Indices]:
    """Keep at most `most` edges of each row: those of the smallest random numbers."""
    counts = np.bincount(rows)
    if not len(rows) or counts.max() <= most:
        return positions, rows
    order = np.lexsort((_random(positions, seed), rows))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.sort(order[np.arange(len(rows)) - first < most])
    return positions[kept], rows[kept]


def _random(numbers: Indices, seed: int) -> Indices:
    """Return a random number for each number, the same for the same seed (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(
            seed % 2**32 + 1
        )
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).view(np.int64)
