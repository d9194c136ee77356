"""Pairs of nodes as an input: both, and those that the target is ranked among."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np

from heedful.data.graphs.graph import Indices, Node
from heedful.data.graphs.links import Pair
from heedful.data.graphs.neighbours import Neighbourhood
from heedful.inputs.encoded_graphs import EncodedGraph, Part
from heedful.inputs.nodes import EncodedNode, Nodes


@dataclass(frozen=True)
class Links(Nodes):
    """Pairs of nodes of one graph, whose edges are those of the training.

    In training the links of a batch are no edges of its graph: a link must not tell of itself, as none of validation
    and test does.

    Reads the settings of `Nodes` and data.train_negatives.
    """

    depends_on_batch: ClassVar[bool] = True
    negatives: int = 20
    """Nodes that the target of a training pair is told apart from, drawn in each epoch."""

    @classmethod
    def _of(cls, config: Any, features: Any, edges: Any) -> Self:
        one = Nodes._of(config, features, edges)
        return cls(
            one.options, features, edges, one.hops, one.most, negatives=config.data.train_negatives
        )

    def encode(self, examples: Sequence[Any]) -> list[EncodedNode]:
        return [
            EncodedNode(self.encode_graph(each.graph), (each.source, each.target, *each.others))
            if isinstance(each, Pair)
            else EncodedNode(self.encode_graph(each.graph), each.number)
            for each in examples
        ]

    def augmentation(self) -> Callable[[EncodedNode, np.random.Generator], EncodedNode] | None:
        """Draw negatives, and where not all are read neighbours, in each epoch; few negatives are links by chance."""

        def variant(encoded: EncodedNode, generator: np.random.Generator) -> EncodedNode:
            pair = cast(tuple[int, ...], encoded.number)[:2]
            drawn = generator.integers(len(encoded.graph.graph), size=self.negatives).tolist()
            return EncodedNode(encoded.graph, (*pair, *drawn), int(generator.integers(1, 2**31)))

        return variant

    def _part(self, graph: EncodedGraph, wanted: Indices, asked: Sequence[EncodedNode]) -> Part:
        """Leave the links that are asked for in training out of the edges, in both directions."""
        if not asked[0].seed:
            return super()._part(graph, wanted, asked)
        found = self.neighbourhood(graph.graph, wanted, asked[0].seed)
        pairs = np.array([cast(tuple[int, ...], each.number)[:2] for each in asked])
        places = np.array([len(graph.graph), 1])
        hidden = np.concatenate([pairs @ places, pairs[:, ::-1] @ places])
        kept = ~np.isin(places @ found.nodes[found.edges], hidden)
        return graph.part(Neighbourhood(found.nodes, found.edges[:, kept], found.listed[kept]))

    def explained(self, example: Any) -> Node:
        """Return the source, whose neighbours are shown."""
        return Node(example.graph, example.source)

    def positions(self, example: Any) -> list[str]:
        return super().positions(self.explained(example) if isinstance(example, Pair) else example)

    def title(self, example: Any) -> str:
        return " → ".join(example.names)
