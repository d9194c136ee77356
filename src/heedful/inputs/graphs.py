"""Whole graphs as an input: the positions are the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from heedful.data.graphs.graph import Graph, Indices
from heedful.data.graphs.whole import WholeGraph, taken
from heedful.inputs.encoded_graphs import EncodedGraph, GraphInput, hide_rows, node_values
from heedful.inputs.node_features import FeatureTable, Values
from heedful.models.encoders.graphs import GraphBatch, GraphFeatures
from heedful.models.encoders.nodes import PreparedEdges
from heedful.ops.masks import Edges


class EncodedWhole(NamedTuple):
    """One graph of several."""

    whole: EncodedGraph
    graph: WholeGraph
    hidden: tuple[int, ...] = ()
    """Nodes of which the model reads no features."""


@dataclass(frozen=True)
class Graphs(GraphInput[WholeGraph, EncodedWhole]):
    """Whole graphs. Scales and vocabularies are those of the nodes of training graphs.

    Reads the section inputs (`NodesConfig`). An encoder that does not read edges reads the nodes in the order of the
    table.

    >>> from heedful.models.encoders.nodes import NodesConfig
    >>> whole = Graph("abc", {"x": np.array([1.0, 2.0, 4.0])}, np.array([[0, 1], [1, 0]]))
    >>> one, two = WholeGraph(whole, 0, 2), WholeGraph(whole, 2, 3)
    >>> table = FeatureTable.learn(whole.columns)
    >>> graphs = Graphs(NodesConfig(), table, FeatureTable((), "edges"))
    >>> batch = graphs.collate(graphs.encode([one, two]))
    >>> batch.lengths.tolist(), batch.places.tolist(), batch.edges.edges.edge_index.tolist()
    ([2, 1], [0, 1, 2], [[1, 0], [0, 1]])
    """

    @classmethod
    def _of(cls, config: Any, features: FeatureTable, edges: FeatureTable) -> Self:
        return cls(config.inputs, features, edges)

    @classmethod
    def _learned_from(cls, examples: Sequence[WholeGraph]) -> tuple[Graph, Values]:
        whole = examples[0].graph
        rows = np.concatenate([np.arange(each.first, each.last) for each in examples])
        values = {name: taken(column, rows) for name, column in node_values(whole).items()}
        return whole, values

    def encode(self, examples: Sequence[WholeGraph]) -> list[EncodedWhole]:
        return [EncodedWhole(self.encode_graph(each.graph), each) for each in examples]

    def length(self, encoded: EncodedWhole) -> int:
        return encoded.graph.last - encoded.graph.first

    def collate(self, encoded: Sequence[EncodedWhole]) -> GraphBatch:
        sizes = [self.length(each) for each in encoded]
        longest = max(sizes)
        rows = [np.arange(each.graph.first, each.graph.last) for each in encoded]
        numbers = [each.whole.numbers[nodes] for each, nodes in zip(encoded, rows, strict=True)]
        taken_entries = [
            each.whole.entries.take(nodes) for each, nodes in zip(encoded, rows, strict=True)
        ]
        for each, one, entries in zip(encoded, numbers, taken_entries, strict=True):
            hide_rows(one, entries, each.hidden)
        firsts = accumulate((len(each.columns) for each in taken_entries[:-1]), initial=0)
        start = [each.start[:-1] + first for each, first in zip(taken_entries, firsts, strict=True)]
        places = [np.arange(size) + longest * row for row, size in enumerate(sizes)]
        return GraphBatch(
            torch.from_numpy(np.concatenate(numbers)),
            torch.from_numpy(np.concatenate(start)),
            torch.from_numpy(np.concatenate([each.columns for each in taken_entries])),
            torch.from_numpy(np.concatenate([each.values for each in taken_entries])),
            torch.tensor(sizes),
            torch.from_numpy(np.concatenate(places)),
            self._edges(encoded, longest),
        )

    def _edges(self, encoded: Sequence[EncodedWhole], longest: int) -> PreparedEdges:
        """Return the edges of all graphs, between the places of their nodes."""
        index, features = [], []
        for row, each in enumerate(encoded):
            ends, listed = each.graph.edges()
            index.append(ends + longest * row)
            if each.whole.edge_features is not None:
                features.append(each.whole.edge_features[listed])
        count = longest * len(encoded)
        edges = Edges(torch.from_numpy(np.concatenate(index, axis=1)), count, count)
        return PreparedEdges(
            edges, torch.from_numpy(np.concatenate(features)) if features else None
        )

    def embedding(self) -> GraphFeatures:
        return GraphFeatures(
            self.options, self.features.numbers, self.features.size, self.edge_width
        )

    @property
    def can_hide(self) -> bool:
        return True

    def hide(self, encoded: EncodedWhole, positions: Sequence[int]) -> EncodedWhole:
        """Hide the features of nodes: numbers are the mean, words and categories none; edges stay."""
        return encoded._replace(hidden=(*encoded.hidden, *positions))

    def positions(self, example: WholeGraph) -> list[str]:
        return list(example.nodes)

    def drawn_edges(self, example: WholeGraph) -> Indices:
        return example.edges()[0]

    def title(self, example: WholeGraph) -> str:
        return example.name
