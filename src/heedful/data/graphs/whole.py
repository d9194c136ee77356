"""Whole graphs as examples, each with an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np

from heedful.data.dataset import Dataset, preferred
from heedful.data.graphs.graph import Column, Graph, Indices, SparseNumbers
from heedful.data.graphs.nodes import graph_texts
from heedful.data.packed_texts import take_texts
from heedful.data.text_rows import Text
from heedful.data.texts import answer_text
from heedful.errors import DataError, shown

DISPLAY_NODES = range(4, 40)
"""Sizes of graphs that are readable in a plot."""


class WholeGraph(NamedTuple):
    """One of several graphs that are kept as one, `graph`: its nodes `first` to `last`, exclusive."""

    graph: Graph
    first: int
    last: int
    name: str = "graph"

    @property
    def nodes(self) -> Sequence[str]:
        """The ids of its nodes."""
        return self.graph.ids[self.first : self.last]

    def edges(self) -> tuple[Indices, Indices]:
        """Return sources and targets (2, edges), counted from the first node, and the columns of `graph.edges`.

        >>> WholeGraph(Graph("abcd", {}, np.array([[0, 2, 3], [1, 3, 2]])), 2, 4).edges()[0].tolist()
        [[1, 0], [0, 1]]
        """
        start = self.graph.start[self.first : self.last + 1]
        inside = slice(start[0], start[-1])
        targets = np.repeat(np.arange(self.last - self.first), np.diff(start))
        sources = self.graph.sources[inside] - self.first
        return np.stack([sources, targets]), self.graph.order[inside]


@dataclass(frozen=True, eq=False)
class GraphTable(Dataset):
    """Graphs and their answers."""

    graphs: Sequence[WholeGraph]
    rows: Sequence[Text]
    """The row of the table of answers of each graph."""
    name: str = "graphs"
    skipped: Sequence[str] = ()
    example: ClassVar[str] = "graph"

    @property
    def inputs(self) -> Sequence[WholeGraph]:
        """The graphs."""
        return self.graphs

    @property
    def answers(self) -> Sequence[tuple[str, ...]]:
        """The answers of each graph, as strings."""
        return [row.answers for row in self.rows]

    def take(self, rows: Sequence[int]) -> Self:
        chosen = [self.graphs[row] for row in rows]
        return replace(self, graphs=chosen, rows=[self.rows[row] for row in rows], skipped=())

    def part(self, what: str, rows: Sequence[int]) -> Self:
        """Return some graphs as a part of a name; the training part keeps what was skipped.

        >>> GraphTable([], [], "molecules").part("test", []).name
        'test part of molecules'
        """
        skipped = self.skipped if what == "training" else ()
        return replace(self.take(rows), name=f"{what} part of {self.name}", skipped=skipped)

    def texts(self) -> Sequence[Sequence[str]]:
        """Return ids, features, edges and answers; of numbers a digest."""
        wholes = {id(each.graph): each.graph for each in self.graphs}
        parts = [f"{each.name}\n{each.first}\n{each.last}" for each in self.graphs]
        answers = [answer_text(row.answers) for row in self.rows]
        return [*(text for whole in wholes.values() for text in graph_texts(whole)), parts, answers]

    def input_of_length(self, length: int) -> WholeGraph:
        """Return so many nodes with the features of the first, in a path if edges have no features."""
        one = self.graphs[0].graph
        rows = np.full(length, self.graphs[0].first)
        columns = {name: taken(column, rows) for name, column in one.columns.items()}
        steps = np.arange(0 if one.edge_columns else length - 1)
        edges = np.stack([np.r_[steps, steps + 1], np.r_[steps + 1, steps]])
        none: dict[str, Column] = {name: [] for name in one.edge_columns}
        return WholeGraph(Graph(["node"] * length, columns, edges, none), 0, length)

    def labels(self) -> Sequence[tuple[str, ...]]:
        return self.answers

    def showcase(self, count: int) -> list[WholeGraph]:
        good = [each.last - each.first in DISPLAY_NODES for each in self.graphs]
        return preferred(self.graphs, good, count)

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        text = self.rows[row]
        if text.path is None:
            return DataError(f"graph {shown(self.graphs[row].name)} of {self.name}: {message}")
        return text.error(message)


def taken(column: Column | SparseNumbers, rows: Indices) -> Column | SparseNumbers:
    """Return some rows of a feature.

    >>> taken(["a", "b"], np.array([1, 1]))
    ['b', 'b']
    """
    if isinstance(column, SparseNumbers):
        return column.take(rows)
    if isinstance(column, np.ndarray):
        return column[rows]
    return take_texts(column, rows.tolist())


def joined(graphs: Mapping[str, Graph], name: str) -> dict[str, WholeGraph]:
    """Keep graphs, by their names, as one whose parts are not connected.

    A column of text that a graph lacks is empty there.

    Raises: DataError for a column that is text in one graph and numbers in another, or numbers of another width.

    >>> one, two = Graph("ab", {}, np.array([[0], [1]])), Graph("c", {}, np.zeros((2, 0), np.int64))
    >>> both = joined({"one": one, "two": two}, "letters")
    >>> both["two"].first, both["two"].graph is both["one"].graph
    (2, True)
    """
    parts = list(graphs.values())
    bounds = np.concatenate([[0], np.cumsum([len(each) for each in parts])]).tolist()
    whole = Graph(
        [node for each in parts for node in each.ids],
        _columns([(each.columns, len(each)) for each in parts], name),
        np.concatenate(
            [each.edges + first for each, first in zip(parts, bounds, strict=False)], axis=1
        ),
        _columns([(each.edge_columns, each.edges.shape[1]) for each in parts], name),  # type: ignore[arg-type]
        name,
    )
    limits = zip(graphs, bounds, bounds[1:], strict=False)
    return {each: WholeGraph(whole, first, last, each) for each, first, last in limits}


def _columns(
    parts: Sequence[tuple[Mapping[str, Column | SparseNumbers], int]], name: str
) -> dict[str, Column | SparseNumbers]:
    """Return the columns of all graphs, each given with its number of rows."""
    found: dict[str, Column | SparseNumbers] = {}
    for column in dict.fromkeys(key for columns, _ in parts for key in columns):
        values = [(columns.get(column), rows) for columns, rows in parts if rows]
        are_numbers = {
            isinstance(value, np.ndarray | SparseNumbers)
            for value, _ in values
            if value is not None
        }
        if len(are_numbers) > 1:
            raise DataError(
                f"the feature {shown(column)} of {name} is text in one graph and numbers in another."
            )
        if are_numbers == {True}:
            found[column] = _numbers(column, [_dense(value) for value, _ in values], name)
        else:
            texts: list[str] = []
            for value, rows in values:
                texts += [""] * rows if value is None else map(str, value)
            found[column] = texts
    return found


def _dense(column: Column | SparseNumbers | None) -> np.ndarray | None:
    """Return numbers as an array (rows, features)."""
    if isinstance(column, SparseNumbers):
        found = np.zeros((len(column.start) - 1, column.width), np.float32)
        owners = np.repeat(np.arange(len(found)), np.diff(column.start))
        found[owners, column.columns] = column.values
        return found
    return None if column is None else np.asarray(column, np.float32).reshape(len(column), -1)


def _numbers(column: str, values: Sequence[np.ndarray | None], name: str) -> np.ndarray:
    widths = {0 if each is None else each.shape[1] for each in values}
    if len(widths) > 1:
        raise DataError(
            f"the feature {shown(column)} of {name} has {min(widths)} numbers a row in one graph and {max(widths)} in "
            "another; give equally many."
        )
    return np.concatenate([each for each in values if each is not None])
