"""Nodes of a graph as an input: a node, its neighbours, and theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heedful.data.graphs.graph import Graph, Indices, Node, SparseNumbers
from heedful.data.graphs.neighbours import Neighbourhood, neighbourhood
from heedful.errors import DataError
from heedful.inputs.base import EmbeddedInput, Lengths
from heedful.inputs.node_features import FeatureTable, Values
from heedful.models.encoders import ENCODERS
from heedful.models.encoders.nodes import NodeBatch, NodeFeatures, NodesConfig, PreparedEdges
from heedful.ops.masks import Edges

NODES: Final = "nodes.json"
"""File of a run folder with what is learned of the columns of nodes."""
EDGES: Final = "edges.json"
KEPT: Final = 4
"""Batches of a graph whose edges are kept sorted."""


class EncodedNode(NamedTuple):
    """A node to be answered."""

    graph: EncodedGraph
    number: int | tuple[int, ...]
    """Or several nodes, for one answer."""
    seed: int = 0
    """Of the sample of its neighbours."""


class Part(NamedTuple):
    """What a model reads to answer some nodes of one graph."""

    nodes: Indices
    edges: PreparedEdges


@dataclass(frozen=True, eq=False)
class EncodedGraph:
    """Features and edges of a graph as numbers, and the batches that were made of it last."""

    graph: Graph
    numbers: NDArray[np.float32]
    entries: SparseNumbers
    edge_features: NDArray[np.float32] | None
    kept: dict[bytes, Part] = field(default_factory=dict)

    def part(self, found: Neighbourhood) -> Part:
        """Return a neighbourhood with its edges prepared."""
        count = len(found.nodes)
        edges = Edges(torch.from_numpy(found.edges), count, count)
        chosen = None if self.edge_features is None else self.edge_features[found.listed]
        features = None if chosen is None else torch.from_numpy(chosen)
        return Part(found.nodes, PreparedEdges(edges, features))


@dataclass(frozen=True)
class Nodes(EmbeddedInput[Node, EncodedNode]):
    """Nodes of graphs. Of the graph no more is read than reaches the nodes through the layers of the encoder.

    Reads the sections inputs (`NodesConfig`), encoder and data.neighbours. An encoder that does not read edges sees
    each node alone.
    """

    options: NodesConfig
    features: FeatureTable
    edges: FeatureTable
    hops: int
    most: tuple[int, ...] = ()
    """Neighbours of a node that are read at most, at each hop; empty: all."""
    _encoded: WeakKeyDictionary[Graph, EncodedGraph] = field(
        default_factory=WeakKeyDictionary, repr=False, compare=False
    )

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Node]) -> Self:
        options: NodesConfig = config.inputs
        graph = examples[0].graph
        features = FeatureTable.learn(
            _features(graph),
            categories=options.categories,
            texts=options.texts,
            min_frequency=options.min_frequency,
        )
        if not features.numbers + features.size:
            raise DataError(
                f"no feature of {graph.name} has a value that occurs in inputs.min_frequency = "
                f"{options.min_frequency} nodes; lower it, or choose other columns with --features."
            )
        edges = FeatureTable((), "edges")
        if options.edge_features:
            edges = FeatureTable.learn(
                graph.edge_columns, of="edges", min_frequency=options.min_frequency
            )
        return cls._of(config, features, edges)

    @classmethod
    def _of(cls, config: Any, features: FeatureTable, edges: FeatureTable) -> Self:
        encoder: Any = ENCODERS[config.encoder.kind]
        hops = config.encoder.layers + encoder.further_hops if encoder.reads_edges else 0
        return cls(config.inputs, features, edges, hops, tuple(config.data.neighbours))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls._of(
            config, FeatureTable.load(folder / NODES), FeatureTable.load(folder / EDGES, "edges")
        )

    def save(self, folder: Path) -> None:
        self.features.save(folder / NODES)
        self.edges.save(folder / EDGES)

    def encode(self, examples: Sequence[Node]) -> list[EncodedNode]:
        return [EncodedNode(self._encode(node.graph), node.number) for node in examples]

    def _encode(self, graph: Graph) -> EncodedGraph:
        found = self._encoded.get(graph)
        if found is None:
            numbers, entries = self.features.encode(_features(graph), len(graph))
            found = EncodedGraph(graph, numbers, entries, self._encode_edges(graph))
            self._encoded[graph] = found
        return found

    def _encode_edges(self, graph: Graph) -> NDArray[np.float32] | None:
        if not self.edges.columns:
            return None
        if not graph.edges.shape[1]:
            return np.zeros((0, self.edges.numbers + self.edges.size), np.float32)
        numbers, categories = self.edges.encode(graph.edge_columns, graph.edges.shape[1])
        return np.concatenate([numbers, _one_hot(categories)], axis=1)

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
        graphs = {id(each.graph): each.graph for each in encoded}
        owners = np.array([id(each.graph) for each in encoded])
        index = np.array([each.number for each in encoded], np.int64)
        answered, parts, first = np.zeros_like(index), [], 0
        for key, graph in graphs.items():
            rows = np.flatnonzero(owners == key)
            wanted = np.unique(index[rows])
            part = self._part(graph, wanted, [encoded[row] for row in rows.tolist()])
            answered[rows] = first + np.searchsorted(wanted, index[rows])
            first += len(part.nodes)
            parts.append((graph, part))
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
        width = self.edges.numbers + self.edges.size
        return NodeFeatures(self.options, self.features.numbers, self.features.size, width)

    def sizes(self) -> dict[str, int]:
        return {"numbers": self.features.numbers, "words and categories": self.features.size}

    def positions(self, example: Node) -> list[str]:
        graph = example.graph
        nodes = self.neighbourhood(graph, np.array([example.number])).nodes
        return [graph.ids[node] for node in nodes.tolist()]

    @property
    def is_graph(self) -> bool:
        return self.hops > 0

    def title(self, example: Node) -> str:
        return example.name


def _features(graph: Graph) -> Values:
    """Return the features of the nodes; a graph without has the numbers of edges to and from each node."""
    if graph.columns:
        return graph.columns
    counts = [np.bincount(ends, minlength=len(graph)) for ends in graph.edges]
    return {"degrees": np.log1p(np.stack(counts, axis=1)).astype(np.float32)}


def _one_hot(entries: SparseNumbers) -> NDArray[np.float32]:
    rows = len(entries.start) - 1
    found = np.zeros((rows, entries.width), np.float32)
    found[np.repeat(np.arange(rows), np.diff(entries.start)), entries.columns] = entries.values
    return found


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
