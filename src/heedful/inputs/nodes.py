"""Nodes of a graph as an input: a node, its neighbours, and theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from heedful.data.graphs.graph import Graph, Indices, Node
from heedful.data.graphs.neighbours import Neighbourhood, neighbourhood
from heedful.inputs.base import Lengths
from heedful.inputs.encoded_graphs import EncodedGraph, GraphInput, Part, hide_rows
from heedful.inputs.node_features import FeatureTable
from heedful.models.encoders import ENCODERS
from heedful.models.encoders.nodes import NodeBatch, NodeFeatures, PreparedEdges
from heedful.ops.masks import Edges

KEPT: Final = 4
"""Batches of a graph whose edges are kept sorted."""


class EncodedNode(NamedTuple):
    """A node to be answered."""

    graph: EncodedGraph
    number: int | tuple[int, ...]
    """Or several nodes, for one answer."""
    seed: int = 0
    """Of the sample of its neighbours."""
    hidden: tuple[int, ...] = ()
    """Places in its neighbourhood of nodes of which the model reads no features."""


@dataclass(frozen=True)
class Nodes(GraphInput[Node, EncodedNode]):
    """Nodes of graphs. Of the graph no more is read than reaches the nodes through the layers of the encoder.

    Reads the sections inputs (`NodesConfig`), encoder and data.neighbours. An encoder that does not read edges sees
    each node alone.
    """

    hops: int
    most: tuple[int, ...] = ()
    """Neighbours of a node that are read at most, at each hop; empty: all."""

    @classmethod
    def _of(cls, config: Any, features: FeatureTable, edges: FeatureTable) -> Self:
        encoder: Any = ENCODERS[config.encoder.kind]
        hops = config.encoder.layers + encoder.further_hops if encoder.reads_edges else 0
        return cls(config.inputs, features, edges, hops, tuple(config.data.neighbours))

    def encode(self, examples: Sequence[Node]) -> list[EncodedNode]:
        return [EncodedNode(self.encode_graph(node.graph), node.number) for node in examples]

    def length(self, encoded: EncodedNode) -> int:
        return 1

    def lengths(self, encoded: Sequence[EncodedNode]) -> Lengths:
        return np.ones(len(encoded), np.int32)

    def augmentation(
        self,
    ) -> Callable[[EncodedNode, np.random.Generator], EncodedNode] | None:
        """Draw other neighbours in each epoch, where not all are read."""
        if not self.most:
            return None
        return lambda encoded, generator: encoded._replace(seed=int(generator.integers(2**31)))

    def collate(self, encoded: Sequence[EncodedNode]) -> NodeBatch:
        groups: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        for row, each in enumerate(encoded):
            groups.setdefault((id(each.graph), each.hidden), []).append(row)
        index = np.array([each.number for each in encoded], np.int64)
        answered, parts, first = np.zeros_like(index), [], 0
        for rows in groups.values():
            graph, hidden = encoded[rows[0]].graph, encoded[rows[0]].hidden
            wanted = np.unique(index[rows])
            part = self._part(graph, wanted, [encoded[row] for row in rows])
            answered[rows] = first + np.searchsorted(wanted, index[rows])
            first += len(part.nodes)
            parts.append((graph, part._replace(hidden=hidden)))
        return self._batch(parts, torch.from_numpy(answered))

    def _part(self, graph: EncodedGraph, wanted: Indices, asked: Sequence[EncodedNode]) -> Part:
        """Return what is read to answer the nodes `wanted`, which come first, of the examples `asked`."""
        key = wanted.tobytes()
        if key in graph.kept:
            return graph.kept[key]
        part = graph.part(self.neighbourhood(graph.graph, wanted, asked[0].seed))
        if not self.most:
            while len(graph.kept) >= KEPT:
                del graph.kept[next(iter(graph.kept))]
            graph.kept[key] = part
        return part

    def neighbourhood(self, graph: Graph, nodes: Indices, seed: int = 0) -> Neighbourhood:
        """Return the part of a graph that is read to answer some nodes."""
        return neighbourhood(graph, nodes, self.hops, self.most, seed)

    def _batch(self, parts: Sequence[tuple[EncodedGraph, Part]], answered: Tensor) -> NodeBatch:
        numbers = np.concatenate([graph.numbers[part.nodes] for graph, part in parts])
        taken = [graph.entries.take(part.nodes) for graph, part in parts]
        firsts = accumulate((len(part.nodes) for _, part in parts[:-1]), initial=0)
        for (_, part), entries, first in zip(parts, taken, firsts, strict=True):
            hide_rows(numbers[first : first + len(part.nodes)], entries, part.hidden)
        firsts = accumulate((len(each.columns) for each in taken[:-1]), initial=0)
        start = np.concatenate(
            [each.start[:-1] + first for each, first in zip(taken, firsts, strict=True)]
        )
        count = len(numbers)
        return NodeBatch(
            torch.from_numpy(numbers),
            torch.from_numpy(start),
            torch.from_numpy(np.concatenate([each.columns for each in taken])),
            torch.from_numpy(np.concatenate([each.values for each in taken])),
            torch.tensor([count]) if self.hops else torch.ones(count, dtype=torch.long),
            answered,
            _joined([part for _, part in parts]),
        )

    def embedding(self) -> NodeFeatures:
        return NodeFeatures(
            self.options, self.features.numbers, self.features.size, self.edge_width
        )

    def positions(self, example: Node) -> list[str]:
        graph = example.graph
        nodes = self.neighbourhood(graph, np.array([example.number])).nodes
        return [graph.ids[node] for node in nodes.tolist()]

    @property
    def is_graph(self) -> bool:
        return self.hops > 0

    @property
    def can_hide(self) -> bool:
        return self.is_graph

    def hide(self, encoded: EncodedNode, positions: Sequence[int]) -> EncodedNode:
        """Hide the features of neighbours, counted in the order of `positions` without the node itself."""
        return encoded._replace(hidden=(*encoded.hidden, *(place + 1 for place in positions)))

    def title(self, example: Node) -> str:
        return example.name


def _joined(parts: Sequence[Part]) -> PreparedEdges:
    """Return the edges of several graphs, which are not connected."""
    if len(parts) == 1:
        return parts[0].edges
    firsts = list(accumulate((len(part.nodes) for part in parts), initial=0))
    index = [
        part.edges.edges.edge_index + first for part, first in zip(parts, firsts, strict=False)
    ]
    features = [part.edges.features for part in parts if part.edges.features is not None]
    edges = Edges(torch.cat(index, dim=1), firsts[-1], firsts[-1])
    return PreparedEdges(edges, torch.cat(features) if features else None)
