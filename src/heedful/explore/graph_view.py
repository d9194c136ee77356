"""What the explanation of a small graph is drawn on: places of its nodes, and the edges between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.explore.graph_layout import Indices, Places, by_stress, hops, rings
from heedful.explore.node_panels import Panel, Weights, along, panel_row, received
from heedful.explore.schema import AttentionRecord

DRAWN: Final = 60
"""Nodes of the largest graph that is drawn."""


@dataclass(frozen=True, eq=False)
class GraphView:
    """A laid-out graph."""

    names: Sequence[str]
    pairs: Indices
    """(2, edges): sources and targets; of a whole graph each pair of nodes once."""
    places: Places
    distance: NDArray[np.int64] | None = None
    """Of each node to the first, which is explained by its neighbours; None: the whole graph is."""
    layers: int = 0
    """Of the encoder, where a node is explained."""
    labels: Sequence[str] | None = None
    """Of the atoms of a molecule: what stands at their places, nothing for a carbon."""
    orders: Sequence[int] | None = None
    """Of its bonds."""

    @property
    def drawing(self) -> dict[str, Any]:
        """What a page draws, as JSON values."""
        distance = None if self.distance is None else self.distance.tolist()
        return {
            "type": "graph",
            "title": "graph" if self.labels is None else "molecule",
            "names": list(self.names),
            "labels": None if self.labels is None else list(self.labels),
            "places": self.places.round(4).tolist(),
            "pairs": self.pairs.T.tolist(),
            "orders": None if self.orders is None else list(self.orders),
            "distance": distance,
            "layers": self.layers,
        }

    @classmethod
    def of_whole(cls, names: Sequence[str], index: Indices) -> GraphView:
        """Lay out a whole graph, (2, edges).

        >>> GraphView.of_whole("abc", np.array([[0, 1, 1], [1, 0, 2]])).pairs.tolist()
        [[0, 1], [1, 2]]
        """
        ordered = np.sort(index[:, index[0] != index[1]], axis=0)
        return cls(names, np.unique(ordered, axis=1), by_stress(index, len(names)))

    @classmethod
    def of_neighbourhood(cls, names: Sequence[str], index: Indices, layers: int) -> GraphView:
        """Lay out the neighbourhood of the first node."""
        distance = hops(index, len(names))
        pairs = np.unique(index[:, index[0] != index[1]], axis=1)
        return cls(names, pairs, rings(index, distance), distance, layers)

    def rows(self, records: Sequence[AttentionRecord]) -> list[list[Panel]]:
        """Return a row of panels for each record over the nodes, in their order; empty if there is none."""
        drawn = [
            each
            for each in records
            if tuple(each.key_tokens) == tuple(self.names) and each.kind != "neighbours"
        ]
        return [panel_row(each, drawn, partial(self._panel, each)) for each in drawn]

    def _panel(self, record: AttentionRecord, title: str, weights: Weights) -> Panel:
        if self.distance is None:
            return Panel(title, received(weights), along(weights, self.pairs))
        if len(weights) != len(self.names):
            return Panel(title, received(weights), np.zeros(0))
        source, target = self.pairs
        # In the last layer only the edges to the first node matter; in the one before also those to its neighbours.
        matters = self.distance[target] <= self.layers - 1 - record.layer
        return Panel(title, np.zeros(0), np.where(matters, weights[target, source], 0.0))
