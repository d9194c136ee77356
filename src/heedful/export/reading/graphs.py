"""Nodes and whole graphs: numbers, words and categories of nodes, and a list of edges of any number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from heedful.export.plain_operators import stable_order
from heedful.export.program import Given
from heedful.export.reading.base import BATCH, LENGTH, Code, Reading
from heedful.inputs.links import Links
from heedful.inputs.node_features import FeatureTable
from heedful.models.encoders.graphs import GraphBatch
from heedful.models.encoders.nodes import NodeBatch, PreparedEdges
from heedful.ops.masks import Edges

ENTRIES: Final = 11
EDGES: Final = 13
LARGEST: Final = 1e6
"""Standardised numbers are cut off here, as those of the input are."""


class Rows(NamedTuple):
    """The features of nodes as `RowFeatures` reads them."""

    numbers: Tensor
    start: Tensor
    entries: Tensor
    values: Tensor


class NodesReading(Reading):
    """`numbers` (nodes, numbers), double, NaN where one is missing; `owners`, `entries` and `weights` (entries,): to
    which node each word or category belongs, which it is, and its weight; `edges` (2, edges), sources and targets;
    `edge_features` (edges, features); `answered` (answers,) or (answers, nodes), the nodes to be answered.
    """

    lead: tuple[str, ...] = ("nodes",)
    """Axes of the nodes."""

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (BATCH, LENGTH)[-len(self.lead) :]

    @property
    def reads_edges(self) -> bool:
        """Whether a network reads edges."""
        return any(member.encoder.reads_edges for member in self.predictor.model.members)

    @property
    def reads_edge_features(self) -> bool:
        """Whether a network reads the features of edges."""
        return bool(self.input.edge_width) and any(
            member.encoder.reads_edges and member.encoder.has_attention
            for member in self.predictor.model.members
        )

    @property
    def given(self) -> Sequence[Given]:
        features = self.input.features
        numbers = torch.zeros(*self._sizes, features.numbers, dtype=torch.float64)
        parts = [Given("numbers", (*self.lead, features.numbers), numbers)]
        if features.size:
            for name, kind in (
                ("owners", torch.int64),
                ("entries", torch.int64),
                ("weights", torch.float32),
            ):
                parts.append(Given(name, ("entries",), torch.zeros(ENTRIES, dtype=kind)))
        parts += self._whole()
        if self.reads_edges:
            parts.append(Given("edges", (2, "edges"), torch.zeros(2, EDGES).long()))
        if self.reads_edge_features:
            width = self.input.edge_width
            values = torch.zeros(EDGES, width, dtype=torch.float64)
            parts.append(Given("edge_features", ("edges", width), values))
        return parts

    def _whole(self) -> list[Given]:
        """Return what else is read."""
        pairs = isinstance(self.input, Links)
        axes = ("answers", "nodes_each") if pairs else ("answers",)
        numbers = torch.zeros((4, 3)[: len(axes)]).long()
        return [Given("answered", axes, numbers)]

    def batch(self, *tensors: Tensor) -> Any:
        own = dict(zip((each.name for each in self.given), tensors, strict=True))
        nodes = own["numbers"].shape[0]
        lengths = torch.full((1,), nodes) if self.input.hops else torch.ones(nodes).long()
        return NodeBatch(*self.rows(own, nodes), lengths, own["answered"], self.edges(own, nodes))

    def rows(self, own: dict[str, Tensor], nodes: Any) -> Rows:
        """Return the features of so many nodes."""
        numbers = _scaled(own["numbers"].flatten(0, -2), self.input.features)
        if "entries" not in own:
            none = torch.zeros(0).long()
            return Rows(numbers, torch.zeros(nodes).long(), none, torch.zeros(0))
        order = stable_order(own["owners"])
        counts = torch.zeros(nodes + 1, dtype=torch.int64)
        ones = torch.ones_like(own["owners"])
        start = counts.index_add(0, own["owners"] + 1, ones).cumsum(0)[:-1]
        return Rows(numbers, start, own["entries"][order], own["weights"][order])

    def edges(self, own: dict[str, Tensor], nodes: Any) -> PreparedEdges:
        """Return the edges among so many nodes."""
        index = own.get("edges", torch.zeros(2, 0).long())
        features = None
        if "edge_features" in own:
            features = _scaled(own["edge_features"], self.input.edges)
        return PreparedEdges(Edges(index, nodes, nodes), features)

    def code(self) -> Code:
        features = self.input.features
        shape = ", ".join(map(str, (1, 4)[-len(self.lead) :]))
        lines = [f"numbers = np.zeros(({shape}, {features.numbers}))  # of four nodes"]
        if features.size:
            lines += [
                "owners, entries = np.array([0, 2]), np.array([0, 0])  # the first word or category, of two nodes",
                "weights = np.ones(2, dtype=np.float32)",
            ]
        lines += self._whole_lines()
        if self.reads_edges:
            lines.append(
                "edges = np.array([[0, 1, 2], [1, 2, 3]])  # from 0 to 1, from 1 to 2, from 2 to 3"
            )
        if self.reads_edge_features:
            lines.append(f"edge_features = np.zeros((3, {self.input.edge_width}))")
        return Code([], lines)

    def _whole_lines(self) -> list[str]:
        nodes = "[[0, 1], [0, 2]]" if isinstance(self.input, Links) else "[0, 3]"
        return [f"answered = np.array({nodes})"]

    @property
    def notes(self) -> str:
        return (
            "\n".join(f"`{each.name}` {each.shape()}: {_NOTES[each.name]}  " for each in self.given)
            + self._end
        )

    @property
    def _end(self) -> str:
        if not self.input.hops:
            return ""
        sampled = (
            " Heedful draws neighbours at random for this run; here all are read."
            if self.input.most
            else ""
        )
        return (
            f"\n\nAn answer depends on nodes that are up to {self.input.hops} edges away; others may be left out."
            f"{sampled}"
        )


class GraphsReading(NodesReading):
    """As `NodesReading`, with `numbers` (graphs, length, numbers), anything at padding, and `lengths` (graphs,), the
    nodes of each graph, instead of `answered`; node i of graph g has the number g · length + i.
    """

    lead = ("graphs", "length")

    def _whole(self) -> list[Given]:
        return [Given("lengths", ("graphs",), torch.full((BATCH,), LENGTH))]

    def batch(self, *tensors: Tensor) -> Any:
        own = dict(zip((each.name for each in self.given), tensors, strict=True))
        graphs, length = own["numbers"].shape[:2]
        nodes = graphs * length
        return GraphBatch(
            *self.rows(own, nodes), own["lengths"], torch.arange(nodes), self.edges(own, nodes)
        )

    def _whole_lines(self) -> list[str]:
        return ["lengths = np.array([4])"]

    @property
    def _end(self) -> str:
        return "\n\nPad graphs of a batch with anything at the end; node i of graph g has the number g · length + i."


_NOTES: Final = {
    "numbers": "the columns of numbers in `nodes.json`, in their order and units, NaN where one is missing.",
    "owners": "the node of each word or category.",
    "entries": "words and categories by their number: those of the first column in `nodes.json` that has entries, then "
    "those of the next.",
    "weights": "1 for a category; 1 divided by the number of different known words of a field for each of them.",
    "answered": "the nodes to be answered, or for each answer a source and its candidates.",
    "lengths": "nodes of each graph.",
    "edges": "sources, then targets, as numbers of nodes. An edge without a direction, as runs read them unless "
    "`data.directed` is set, is listed twice, once in each direction.",
    "edge_features": "the columns of numbers in `edges.json` in their units, then a 1 for the category that it has.",
}


def _scaled(values: Tensor, table: FeatureTable) -> Tensor:
    """Return numbers as the input standardizes them, and what follows them as it is."""
    told = [column for column in table.columns if column.kind == "number"]
    mean, scale = (
        torch.tensor(
            [each for column in told for each in getattr(column, name)], dtype=torch.float64
        )
        for name in ("mean", "scale")
    )
    count = mean.shape[0]
    numbers = ((values[:, :count] - mean) / scale).nan_to_num(nan=0.0).clamp(-LARGEST, LARGEST)
    return torch.cat([numbers, values[:, count:]], dim=1).float()
