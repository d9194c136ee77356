"""A graph: nodes with features, and edges that say who is a neighbour of whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from heedful.data.table_rows import TableRow
from heedful.errors import DataError, nearest, shown

Indices = NDArray[np.int64]
Column = Sequence[str] | NDArray[np.float32]
"""A feature: fields of a table as text, or numbers (nodes,) or (nodes, features)."""


class SparseNumbers(NamedTuple):
    """Numbers of which most are 0, in compressed rows: those of row i are `start[i]` to `start[i + 1]`, exclusive."""

    start: Indices
    """(rows + 1,)."""
    columns: Indices
    """(entries,)."""
    values: NDArray[np.float32]
    """(entries,)."""
    width: int
    """Number of columns."""

    @classmethod
    def of(
        cls, rows: Indices, columns: Indices, values: NDArray[np.float32], width: int, height: int
    ) -> SparseNumbers:
        """Build from entries in the order of their rows."""
        counts = np.bincount(rows, minlength=height)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(start, columns.astype(np.int64), values.astype(np.float32), width)

    def take(self, rows: Indices) -> SparseNumbers:
        """Return some rows, in that order."""
        begin, counts = self.start[rows], self.start[rows + 1] - self.start[rows]
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        entries = np.repeat(begin - start[:-1], counts) + np.arange(start[-1])
        return SparseNumbers(start, self.columns[entries], self.values[entries], self.width)


class NumberedIds(Sequence[str]):
    """The ids of nodes that are only numbered: "0", "1", ...

    >>> list(NumberedIds(3))
    ['0', '1', '2']
    """

    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        """Return the number of nodes."""
        return self.size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [str(each) for each in range(self.size)[index]]
        return str(range(self.size)[index])


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, their features, and the edges between them.

    >>> graph = Graph(["a", "b", "c"], {}, np.array([[0, 1], [1, 2]]))
    >>> graph.start.tolist(), graph.sources.tolist(), graph.index("b")
    ([0, 0, 1, 2], [0, 1], 1)
    """

    ids: Sequence[str]
    columns: Mapping[str, Column | SparseNumbers]
    """Features of nodes by name."""
    edges: Indices
    """(2, edges): sources, then targets; an undirected edge is listed in both directions."""
    edge_columns: Mapping[str, Column] = field(default_factory=dict)
    """Features of edges by name, in the order of `edges`."""
    name: str = "graph"
    rows: Sequence[TableRow] = ()
    """The row of the table that each node is from; empty for a graph of Python."""

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.ids)

    def error(self, node: int, message: str) -> DataError:
        """Return an error about a node, with its file and line if known."""
        if not self.rows:
            return DataError(f"node {shown(self.ids[node])} of {self.name}: {message}")
        return self.rows[node].error(message)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.ids)}

    def index(self, name: str) -> int:
        """Return the number of a node.

        Raises: DataError for a node that does not exist, suggesting the nearest.
        """
        if name not in self._numbers:
            near = nearest(name, list(self.ids[:10_000]))
            hint = f"; did you mean {shown(near)}?" if near else "."
            raise DataError(f"there is no node {shown(name)} in {self.name}{hint}")
        return self._numbers[name]

    @cached_property
    def order(self) -> Indices:
        """The edges sorted by their target, as indices into `edges`; those of one target keep their order."""
        return np.argsort(self.edges[1], kind="stable").astype(np.int64)

    @cached_property
    def start(self) -> Indices:
        """(nodes + 1,): the edges of target i are at `start[i]` to `start[i + 1]`, exclusive, of `order`."""
        counts = np.bincount(self.edges[1], minlength=len(self))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @cached_property
    def sources(self) -> Indices:
        """The source of each edge, in the order of `order`."""
        return np.ascontiguousarray(self.edges[0][self.order])


class Node(NamedTuple):
    """One node of a graph: the example of a task on nodes."""

    graph: Graph
    number: int

    @property
    def name(self) -> str:
        """The id of the node."""
        return self.graph.ids[self.number]


class NodeList(Sequence[Node]):
    """Some nodes of a graph, without an object for each.

    >>> nodes = NodeList(Graph(["a", "b"], {}, np.zeros((2, 0), np.int64)), np.array([1, 0]))
    >>> [node.name for node in nodes], len(nodes[:1])
    (['b', 'a'], 1)
    """

    def __init__(self, graph: Graph, rows: Indices):
        self.graph, self.rows = graph, rows

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Node: ...
    @overload
    def __getitem__(self, index: slice) -> NodeList: ...
    def __getitem__(self, index: int | slice) -> Node | NodeList:
        if isinstance(index, slice):
            return NodeList(self.graph, self.rows[index])
        return Node(self.graph, int(self.rows[index]))

    def __iter__(self) -> Iterator[Node]:
        return (Node(self.graph, row) for row in self.rows.tolist())
