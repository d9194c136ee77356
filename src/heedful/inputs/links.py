"""Pairs of nodes as an input: both, and those that the target is ranked among."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np

from heedful.data.graphs.graph import Node
from heedful.data.graphs.links import Pair
from heedful.inputs.nodes import EncodedNode, Nodes


@dataclass(frozen=True)
class Links(Nodes):
    """Pairs of nodes of one graph, whose edges are those of the training.

    Reads the settings of `Nodes` and data.train_negatives.
    """

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
            EncodedNode(self._encode(each.graph), (each.source, each.target, *each.others))
            if isinstance(each, Pair)
            else EncodedNode(self._encode(each.graph), each.number)
            for each in examples
        ]

    def augmentation(self) -> Callable[[EncodedNode, np.random.Generator], EncodedNode] | None:
        """Draw negatives, and where not all are read neighbours, in each epoch; few negatives are links by chance."""

        def variant(encoded: EncodedNode, generator: np.random.Generator) -> EncodedNode:
            pair = cast(tuple[int, ...], encoded.number)[:2]
            drawn = generator.integers(len(encoded.graph.graph), size=self.negatives).tolist()
            return EncodedNode(encoded.graph, (*pair, *drawn), int(generator.integers(2**31)))

        return variant

    def explained(self, example: Any) -> Node:
        """Return the source, whose neighbours are shown."""
        return Node(example.graph, example.source)

    def positions(self, example: Any) -> list[str]:
        return super().positions(self.explained(example) if isinstance(example, Pair) else example)

    def title(self, example: Any) -> str:
        return " → ".join(example.names)
