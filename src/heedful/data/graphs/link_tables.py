"""Tables of links: their ends, times and parts, and the graph of those that are for training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.data.graphs.graph import Column, Graph, Indices, SparseNumbers
from heedful.data.graphs.links import LinkTable, divide, draw_others
from heedful.data.graphs.tables import PART_COLUMN, GraphColumns, end_of, pair_of, part_of, text_of
from heedful.data.number import parse_number
from heedful.data.table_rows import TableRow, check_columns
from heedful.errors import DataError


@dataclass(frozen=True, eq=False)
class LinkSource:
    """All links of a graph, before they are divided.

    >>> ends = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 0], [1, 3]])
    >>> source = LinkSource(["a", "b", "c", "d", "e"], {}, ends, {}, directed=True)
    >>> train, valid, test = source.parts((0.2, 0.2), 0, negatives=1)
    >>> len(train), len(valid), len(test), train.graph.edges.shape, valid.graph is train.graph
    (4, 1, 1, (2, 4), True)
    """

    ids: Sequence[str]
    columns: Mapping[str, Column | SparseNumbers]
    pairs: Indices
    edge_columns: Mapping[str, Sequence[str]]
    directed: bool = False
    times: NDArray[np.float64] | None = None
    named: Sequence[str] = ()
    """The part of each link, where a column says it."""
    rows: Sequence[TableRow] = ()
    name: str = "links"

    def parts(
        self, shares: tuple[float, float], seed: int, negatives: int
    ) -> tuple[LinkTable, LinkTable, LinkTable]:
        """Return training, validation and test links; no message passes along those of validation and test.

        A link that is listed again, or back where links have no direction, would tell of itself: it is in the part of
        its first listing alone.

        Raises: OptionError as `divide` and `draw_others`; DataError for a part without links.
        """
        first = self._distinct()
        if self.named:
            wanted = [
                np.array([row for row in first.tolist() if self.named[row] == part], np.int64)
                for part in ("train", "valid", "test")
            ]
            for part, rows in zip(("train", "valid"), wanted, strict=False):
                if not len(rows):
                    raise DataError(f"{self.name}: no link is in the part {part}.")
        else:
            times = None if self.times is None else self.times[first]
            wanted = [first[rows] for rows in divide(len(first), shares, seed, times)]
        graph = self.graph(wanted[0])
        none = np.zeros((0, negatives), np.int64)
        train = self.table(graph, wanted[0], none, "train part of ")
        return (
            train,
            *(  # type: ignore[return-value]
                self.table(graph, rows, self.others(self.pairs[rows], negatives, seed + n), part)
                for n, (part, rows) in enumerate(
                    zip(("valid part of ", "test part of "), wanted[1:], strict=True)
                )
            ),
        )

    def _distinct(self) -> Indices:
        """Return the first row of each link, of which a link of a node to itself is none."""
        ends = self.pairs if self.directed else np.sort(self.pairs, axis=1)
        keys = ends @ np.array([len(self.ids), 1])
        order = (
            np.arange(len(keys)) if self.times is None else np.argsort(self.times, kind="stable")
        )
        _, first = np.unique(keys[order], return_index=True)
        rows = np.sort(order[first]).astype(np.int64)
        kept: Indices = rows[self.pairs[rows, 0] != self.pairs[rows, 1]]
        return kept

    def graph(self, rows: Indices) -> Graph:
        """Return the graph of some links."""
        index = self.pairs[rows].T
        features = {
            name: [values[row] for row in rows] for name, values in self.edge_columns.items()
        }
        if not self.directed:
            index = np.concatenate([index, index[::-1]], axis=1)
            features = {name: [*values, *values] for name, values in features.items()}
        return Graph(self.ids, self.columns, np.ascontiguousarray(index), features, self.name)

    def others(self, pairs: Indices, count: int, seed: int) -> Indices:
        """Return the negatives of pairs, which are no links of any part."""
        known = self.pairs
        if not self.directed:
            known = np.concatenate([known, known[:, ::-1]])
        return draw_others(pairs, known, len(self.ids), count, seed)

    def table(self, graph: Graph, rows: Indices, others: Indices, of: str = "") -> LinkTable:
        """Return some links as examples."""
        given = [self.rows[row] for row in rows.tolist()] if self.rows else ()
        return LinkTable(graph, self.pairs[rows], others, f"{of}{self.name}", given)


def links_of_rows(
    rows: Iterable[TableRow],
    columns: GraphColumns,
    name: str,
    *,
    time: str = "",
    nodes: Graph | None = None,
) -> LinkSource:
    """Read links.

    Args:
        rows: of the table of links.
        columns: edge, part and directed are used.
        name: for errors.
        time: the column of the times, as numbers; empty: there is none.
        nodes: the nodes with their features; None: the nodes are those of the links, known by their ids.

    Raises: DataError naming file and line, for ends that are no node, times that are no number, and unknown parts.
    """
    found = list(rows)
    if not found:
        raise DataError(f"{name} holds no links.")
    first = found[0]
    pair = columns.edge or pair_of(first)
    names = list(first.fields)
    check_columns(first.path, names, [*pair, *([time] if time else [])], first.line and 1)
    part = columns.part or (PART_COLUMN if PART_COLUMN in names else "")
    numbers = _numbers(found, pair, nodes)
    ends = [[end_of(row, each, numbers, name) for each in pair] for row in found]
    ids = list(numbers)
    features = [each for each in names if each not in (*pair, time, part)]
    times = [parse_number(text_of(row, time), row.error) for row in found] if time else None
    return LinkSource(
        ids,
        {"id": ids} if nodes is None or not nodes.columns else nodes.columns,
        np.array(ends, np.int64),
        {each: [text_of(row, each) for row in found] for each in features},
        columns.directed,
        None if times is None else np.array(times),
        [part_of(row, part, "train, val or test") for row in found] if part else (),
        found,
        name,
    )


def _numbers(rows: Sequence[TableRow], pair: Sequence[str], nodes: Graph | None) -> dict[str, int]:
    if nodes is not None:
        return {name: number for number, name in enumerate(nodes.ids)}
    ends = (text_of(row, each).strip() for row in rows for each in pair)
    return {name: number for number, name in enumerate(dict.fromkeys(filter(None, ends)))}
