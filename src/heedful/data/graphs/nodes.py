"""A dataset of nodes of one graph, each with an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from heedful.data.dataset import Dataset
from heedful.data.graphs.graph import Graph, Indices, Node, NodeList, SparseNumbers
from heedful.errors import DataError

NO_PART = ("", "none", "unlabelled", "unlabeled", "unused")
"""What it says of a node that belongs to no part: it is a neighbour of others."""


@dataclass(frozen=True, eq=False)
class NodeTable(Dataset):
    """Those nodes of a graph that have an answer, or some of them.

    >>> graph = Graph(["a", "b", "c"], {}, np.array([[0], [1]]))
    >>> data = NodeTable(graph, np.array([0, 2]), [("x",), ("y",)])
    >>> [node.name for node in data.inputs], data.answers
    (['a', 'c'], [('x',), ('y',)])
    """

    graph: Graph
    rows: Indices
    """(examples,): their numbers in the graph."""
    labelled: Sequence[tuple[str, ...]]
    """The answers of each example."""
    name: str = "nodes"
    parts: Sequence[str] = ()
    """The part of each example; empty if there are no parts."""
    example: ClassVar[str] = "node"
    has_any_length: ClassVar[bool] = False

    @property
    def inputs(self) -> NodeList:
        """The nodes."""
        return NodeList(self.graph, self.rows)

    @property
    def answers(self) -> Sequence[tuple[str, ...]]:
        """The answers of each node, as strings."""
        return self.labelled

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Sequence[int]) -> Self:
        parts = [self.parts[row] for row in rows] if self.parts else ()
        chosen = np.asarray(rows, dtype=np.int64)
        answers = [self.labelled[row] for row in rows]
        return replace(self, rows=self.rows[chosen], labelled=answers, parts=parts)

    def part(self, name: str) -> Self:
        """Return the examples of one part; all of them if no node has a part.

        Raises: DataError if none is in it.
        """
        if not self.parts:
            return self
        rows = [row for row, part in enumerate(self.parts) if part == name]
        if not rows:
            raise DataError(f"{self.name}: no node with an answer is in the part {name}.")
        return replace(self.take(rows), name=f"{name} part of {self.name}")

    def texts(self) -> Sequence[Sequence[str]]:
        """Return ids, features, edges and answers; of numbers a digest."""
        answers = ["\n".join(answers) for answers in self.labelled]
        chosen = [self.inputs[row].name for row in range(len(self))]
        return [*graph_texts(self.graph), chosen, answers]

    def input_of_length(self, length: int) -> Node:
        return self.inputs[0]

    def labels(self) -> Sequence[tuple[str, ...]]:
        return self.labelled

    def showcase(self, count: int) -> list[Node]:
        """Return nodes with two neighbours or more."""
        graph = self.graph
        degrees = graph.start[self.rows + 1] - graph.start[self.rows]
        good = np.flatnonzero((degrees > 1) & (degrees < 12))
        rows = [*good[:count].tolist(), *np.setdiff1d(np.arange(len(self)), good)[:count].tolist()]
        return [self.inputs[row] for row in rows[:count]]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.graph.error(int(self.rows[row]), message)


def graph_texts(graph: Graph) -> list[Sequence[str]]:
    """Return ids, features and edges of a graph as strings, of numbers a digest."""
    columns = [
        column
        if isinstance(column, Sequence) and not isinstance(column, SparseNumbers)
        else _digest(column)
        for column in (*graph.columns.values(), *graph.edge_columns.values())
    ]
    return [list(graph.ids), *columns, _digest(graph.edges)]


def _digest(numbers: object) -> list[str]:
    import hashlib

    parts = numbers if isinstance(numbers, tuple) else (numbers,)
    found = hashlib.sha256()
    for part in parts:
        array = np.ascontiguousarray(part)
        found.update(str((array.dtype, array.shape)).encode())
        found.update(array.data if array.size else b"")
    return [found.hexdigest()]
