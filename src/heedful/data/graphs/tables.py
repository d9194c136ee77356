"""Graphs from tables: one of nodes, a row each, and one of edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from heedful.data.decoding import UTF8
from heedful.data.files import iterate_lines
from heedful.data.graphs.graph import Graph
from heedful.data.graphs.nodes import NO_PART, NodeTable
from heedful.data.opening import MAX_LINE, check_file
from heedful.data.parts import PARTS
from heedful.data.table_rows import TableRow, check_columns
from heedful.data.tables import Table, table_format
from heedful.data.text_rows import IncompleteRowError, TextColumns, field_text, read_answered
from heedful.data.words import check_characters
from heedful.errors import DataError, listed, nearest, shown

ID_COLUMNS = ("id", "node", "node_id", "name")
"""Names of the column of ids, in the order in which they are looked for."""
PART_COLUMN = "split"
NODE = "\0"
"""The column of the id in the rows whose answers are read; no file has one of this name."""
EDGE_COLUMNS = (("source", "target"), ("from", "to"), ("src", "dst"), ("head", "tail"))
"""Names of the columns of an edge, likewise."""


@dataclass(frozen=True)
class GraphColumns:
    """What the columns of the tables of nodes and edges mean."""

    node: str = ""
    """Ids of nodes; empty: the first of `ID_COLUMNS` that is there."""
    answers: TextColumns = field(default_factory=TextColumns)
    """How the answers are read; its text is not used."""
    features: tuple[str, ...] = ()
    """Features of nodes; empty: all other columns."""
    part: str = ""
    """Part of the data of a node; empty: the column `split`, if it is there."""
    edge: tuple[str, ...] = ()
    """Source and target of an edge; empty: the first of `EDGE_COLUMNS` that are there."""
    directed: bool = False
    """Whether an edge is followed from its source to its target alone."""
    encoding: str = UTF8
    max_line: int = MAX_LINE


def read_graph(
    nodes: Sequence[str], edges: Sequence[str], columns: GraphColumns, *, answers: bool = True
) -> NodeTable:
    """Read a graph from tables of nodes and of edges, and those of its nodes that have an answer.

    Raises: DataError naming file and line: as `heedful.data.tables.Table.rows`, and for an id that is empty or occurs
        twice, an edge to a node that does not exist, a part that is none.
    """
    rows = list(chain.from_iterable(graph_rows(path, columns) for path in nodes))
    if not rows:
        raise DataError("the file holds no nodes.", path=nodes[0])
    name = " + ".join(map(str, nodes))
    return table_of_rows(rows, edge_rows(edges, columns), columns, name, answers=answers)


def table_of_rows(
    rows: Sequence[TableRow],
    edge_rows: Iterator[TableRow],
    columns: GraphColumns,
    name: str,
    *,
    answers: bool = True,
) -> NodeTable:
    """Build the graph and its nodes with answers from the rows of both tables."""
    names = list(rows[0].fields)
    node = columns.node or next((each for each in ID_COLUMNS if each in names), ID_COLUMNS[0])
    check_columns(rows[0].path, names, [node, *columns.features], rows[0].line and 1)
    numbers = _numbered(rows, node)
    part = columns.part or (PART_COLUMN if PART_COLUMN in names else "")
    others = {node, part, *columns.answers.answers}
    features = columns.features or tuple(each for each in names if each not in others)
    edges, edge_columns = _edges(edge_rows, columns, numbers, name)
    graph = Graph(
        list(numbers),
        {each: [text_of(row, each) for row in rows] for each in features},
        edges,
        edge_columns,
        name,
        rows,
    )
    return _labelled(graph, rows, columns, part, answers=answers)


def graph_rows(
    path: str | Path, columns: GraphColumns, required: Sequence[str] = ()
) -> Iterator[TableRow]:
    """Yield the rows of a table of nodes or edges, which has some columns."""
    path = Path(path)
    check_file(path)
    lines = iterate_lines(path, columns.encoding, max_line=columns.max_line)
    return graph_table(path).rows(path, lines, required)


def graph_table(path: Path) -> Table:
    """Return the format of a table of nodes or edges: columns are found by their names, so there is a header.

    Raises: DataError for an unknown extension.
    """
    return table_format(path, has_header=True)


def edge_rows(paths: Sequence[str], columns: GraphColumns) -> Iterator[TableRow]:
    """Yield the rows of tables of edges."""
    return chain.from_iterable(graph_rows(path, columns, columns.edge) for path in paths)


def text_of(row: TableRow, column: str) -> str:
    """Return a field as text; one that is missing is empty."""
    try:
        return field_text(row, row.fields.get(column, ""), column)
    except IncompleteRowError:
        return ""


def _numbered(rows: Sequence[TableRow], column: str) -> dict[str, int]:
    """Return the number of each id."""
    numbers: dict[str, int] = {}
    for number, row in enumerate(rows):
        name = text_of(row, column).strip()
        if not name:
            raise row.error(f"the id in column {shown(column)} is empty; give each node one.")
        if name in numbers:
            first = rows[numbers[name]]
            where = f"line {first.line}" if first.line else f"row {numbers[name] + 1}"
            raise row.error(f"the id {shown(name)} occurs twice, first in {where}; rename one.")
        numbers[name] = number
    return numbers


def _edges(
    rows: Iterator[TableRow], columns: GraphColumns, numbers: Mapping[str, int], name: str
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Return the edges, and their features by name; undirected edges come in both directions."""
    ends: list[tuple[int, int]] = []
    pair: tuple[str, ...] = ()
    features: dict[str, list[str]] = {}
    for row in rows:
        if not pair:
            pair = end_columns(row, columns)
            features = {each: [] for each in row.fields if each not in pair}
        check_columns(row.path, list(row.fields), pair, row.line)
        source, target = (end_of(row, each, numbers, name) for each in pair)
        ends.append((source, target))
        for each, values in features.items():
            values.append(text_of(row, each))
    index = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    if columns.directed:
        return index, features
    # A self loop has one direction.
    back = np.flatnonzero(index[0] != index[1])
    both = np.concatenate([index, index[::-1, back]], axis=1)
    return both, {each: [*values, *(values[n] for n in back)] for each, values in features.items()}


def end_columns(row: TableRow, columns: GraphColumns) -> tuple[str, ...]:
    """Return the columns of source and target in a row of an edge.

    Raises: DataError if there are none.
    """
    return columns.edge or pair_of(row)


def pair_of(row: TableRow) -> tuple[str, ...]:
    """Return the columns of the ends of an edge.

    Raises: DataError if there are none of a known name.
    """
    for pair in EDGE_COLUMNS:
        if set(pair) <= set(row.fields):
            return pair
    raise DataError(
        f"there are no columns of the ends of an edge, such as {' and '.join(map(shown, EDGE_COLUMNS[0]))}; name them "
        f"with --edge-columns. The columns are: {listed(row.fields)}.",
        path=row.path,
        line=row.line and 1,
    )


def end_of(row: TableRow, column: str, numbers: Mapping[str, int], name: str) -> int:
    """Return the number of an end of an edge.

    Raises: DataError for a node that does not exist.
    """
    end = text_of(row, column).strip()
    if end not in numbers:
        near = nearest(end, numbers) if len(numbers) < 10_000 else None
        hint = f"; did you mean {shown(near)}?" if near else "; add the node or remove the edge."
        raise row.error(f"the edge has the {column} {shown(end)}, which is no node of {name}{hint}")
    return numbers[end]


def _labelled(
    graph: Graph, rows: Sequence[TableRow], columns: GraphColumns, part: str, *, answers: bool
) -> NodeTable:
    """Return the nodes that have an answer."""
    found, labels, parts = [], [], []
    if answers:
        first = rows[0]
        check_columns(first.path, list(first.fields), columns.answers.answers, first.line and 1)
    for number, row in enumerate(rows):
        if not answers or not any(text_of(row, each).strip() for each in columns.answers.answers):
            continue
        named = TableRow(row.path, row.line, row.raw, {**row.fields, NODE: graph.ids[number]})
        labels.append(read_answered(named, columns.answers).answers)
        found.append(number)
        parts.append(part_of(row, part, "train, val, test, or none for a node of no part"))
    table = NodeTable(
        graph, np.array(found, np.int64), labels, graph.name, parts if any(parts) else ()
    )
    if answers and not found:
        raise DataError(
            f"no node of {graph.name} has an answer in {listed(columns.answers.answers)}."
        )
    return table


def part_of(row: TableRow, column: str, expected: str) -> str:
    """Return the part of the data that a row is in; empty for none, or without such a column.

    Raises: DataError saying what is expected, for another text.
    """
    if not column:
        return ""
    written = text_of(row, column).strip()
    check_characters(written, row.error)
    if written.lower() in NO_PART:
        return ""
    if written.lower() not in PARTS:
        raise row.error(f"column {shown(column)} holds {shown(written)}; expected {expected}.")
    return PARTS[written.lower()]
