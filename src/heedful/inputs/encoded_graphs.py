"""What all inputs of graphs share: the columns that are learned, and graphs as numbers."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.data.graphs.graph import Graph, Indices, SparseNumbers
from heedful.data.graphs.neighbours import Neighbourhood
from heedful.errors import DataError
from heedful.inputs.base import EmbeddedInput, Encoded, Example
from heedful.inputs.node_features import FeatureTable, Values
from heedful.models.encoders.nodes import NodesConfig, PreparedEdges
from heedful.ops.masks import Edges

NODES: Final = "nodes.json"
"""File of a run folder with what is learned of the columns of nodes."""
EDGES: Final = "edges.json"
KEPT_GRAPHS: Final = 4
"""Graphs whose numbers are kept: those of training, validation and test, and one more."""


class Part(NamedTuple):
    """What a model reads to answer some nodes of one graph."""

    nodes: Indices
    edges: PreparedEdges
    hidden: tuple[int, ...] = ()
    """Places in `nodes` of those of which the model reads no features."""


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
class GraphInput(EmbeddedInput[Example, Encoded]):
    """Examples that are parts of graphs, whose columns are features of nodes and edges.

    Reads the section inputs (`NodesConfig`).
    """

    options: NodesConfig
    features: FeatureTable
    edges: FeatureTable
    _encoded: dict[Graph, EncodedGraph] = field(
        default_factory=dict, repr=False, compare=False, kw_only=True
    )
    """Of the graphs that were read last; a service meets any number."""

    @classmethod
    @abc.abstractmethod
    def _of(cls, config: Any, features: FeatureTable, edges: FeatureTable) -> Self:
        """Return the input of a configuration and what was learned of columns."""

    @classmethod
    def _learned_from(cls, examples: Sequence[Any]) -> tuple[Graph, Values]:
        """Return the graph of training examples, and the features of nodes to learn from: by default of all."""
        graph: Graph = examples[0].graph
        return graph, node_values(graph)

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Any]) -> Self:
        options: NodesConfig = config.inputs
        graph, values = cls._learned_from(examples)
        features = FeatureTable.learn(
            values,
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
    def load(cls, config: Any, folder: Path) -> Self:
        return cls._of(
            config, FeatureTable.load(folder / NODES), FeatureTable.load(folder / EDGES, "edges")
        )

    def save(self, folder: Path) -> None:
        self.features.save(folder / NODES)
        self.edges.save(folder / EDGES)

    def encode_graph(self, graph: Graph) -> EncodedGraph:
        """Return a graph as numbers; those of the last few graphs are kept."""
        found = self._encoded.pop(graph, None)
        if found is None:
            numbers, entries = self.features.encode(node_values(graph), len(graph))
            found = EncodedGraph(graph, numbers, entries, self._encode_edges(graph))
        self._encoded[graph] = found  # at the end: used last
        if len(self._encoded) > KEPT_GRAPHS:
            del self._encoded[next(iter(self._encoded))]
        return found

    def _encode_edges(self, graph: Graph) -> NDArray[np.float32] | None:
        if not self.edges.columns:
            return None
        if not graph.edges.shape[1]:
            return np.zeros((0, self.edges.numbers + self.edges.size), np.float32)
        numbers, categories = self.edges.encode(graph.edge_columns, graph.edges.shape[1])
        return np.concatenate([numbers, _one_hot(categories)], axis=1)

    @property
    def edge_width(self) -> int:
        """How many features an edge has."""
        return self.edges.numbers + self.edges.size

    def sizes(self) -> dict[str, int]:
        return {"numbers": self.features.numbers, "words and categories": self.features.size}


def node_values(graph: Graph) -> Values:
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


def hide_rows(numbers: NDArray[np.float32], entries: SparseNumbers, rows: Sequence[int]) -> None:
    """Change the features of some nodes in place to none: numbers to their mean, which is 0, entries to weight 0."""
    for row in rows:
        numbers[row] = 0.0
        entries.values[entries.start[row] : entries.start[row + 1]] = 0.0
