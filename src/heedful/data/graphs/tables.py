"""Graphs from tables: one of nodes, a row each, and one of edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from heedful.data.decoding import UTF8
from heedful.data.files import iterate_lines
from heedful.data.graphs.edge_lists import EdgeListWriter
from heedful.data.graphs.graph import Column, Graph, Indices
from heedful.data.graphs.kept_rows import KeptRowsWriter
from heedful.data.graphs.nodes import NO_PART, NodeTable
from heedful.data.opening import MAX_LINE, check_file
from heedful.data.packed_texts import PackedTexts, PackedTextsWriter
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
    nodes: Sequence[str],
    edges: Sequence[str],
    columns: GraphColumns,
    *,
    answers: bool = True,
    labels: Sequence[str] = (),
    own_answers: bool = False,
) -> NodeTable:
    """Read a graph from tables of nodes and of edges, and those of its nodes that have an answer.

    Rows are read one by one, and lie in temporary files if they are many.

    Args:
        nodes: tables of nodes.
        edges: tables of edges.
        columns: what their columns mean.
        answers: whether answers are read.
        labels: tables of ids and answers; none: the answers are in the tables of nodes.
        own_answers: whether answers in the tables of nodes come before those of `labels`.

    Raises: DataError naming file and line: as `heedful.data.tables.Table.rows`, and for an id that is empty or occurs
        twice, an edge to a node or an answer of a node that does not exist, a part that is none.
    """
    rows = chain.from_iterable(graph_rows(path, columns) for path in nodes)
    first = next(rows, None)
    if first is None:
        raise DataError("the file holds no nodes.", path=nodes[0])
    has_own = set(columns.answers.answers) <= set(first.fields)
    label_rows = None
    if labels and answers and not (own_answers and has_own):
        label_rows = chain.from_iterable(graph_rows(path, columns) for path in labels)
    name = " + ".join(map(str, nodes))
    return table_of_rows(
        chain([first], rows),
        edge_rows(edges, columns),
        columns,
        name,
        answers=answers,
        label_rows=label_rows,
    )


def table_of_rows(
    rows: Iterable[TableRow],
    edge_rows: Iterator[TableRow],
    columns: GraphColumns,
    name: str,
    *,
    answers: bool = True,
    label_rows: Iterator[TableRow] | None = None,
) -> NodeTable:
    """Build the graph and its nodes with answers from the rows of both tables, and of a table of answers."""
    rows = iter(rows)
    first = next(rows)
    names = list(first.fields)
    node = columns.node or next((each for each in ID_COLUMNS if each in names), ID_COLUMNS[0])
    has_answers = answers and label_rows is None
    required = [node, *columns.features, *(columns.answers.answers if has_answers else ())]
    check_columns(first.path, names, required, first.line and 1)
    part = columns.part or (PART_COLUMN if PART_COLUMN in names else "")
    others = {node, part, *columns.answers.answers}
    features = columns.features or tuple(each for each in names if each not in others)
    kept, numbers = KeptRowsWriter(), dict[str, int]()
    texts = {each: PackedTextsWriter() for each in features}
    found = _Answers(columns.answers)
    for row in chain([first], rows):
        number = _number(row, node, numbers, kept)
        for each, writer in texts.items():
            writer.append(text_of(row, each))
        kept.append(row)
        if answers:
            found.read(row, number, next(reversed(numbers)), part, has_answers=has_answers)
    edges, edge_columns = _edges(edge_rows, columns, numbers, name)
    graph = Graph(
        PackedTexts.of(numbers),
        {each: writer.finish() for each, writer in texts.items()},
        edges,
        edge_columns,
        name,
        kept.finish(),
    )
    if label_rows is not None:
        _read_labels(label_rows, columns, numbers, name, found)
    table = found.table(graph)
    if answers and not len(table):
        raise DataError(
            f"no node of {graph.name} has an answer in {listed(columns.answers.answers)}."
        )
    return table


class _Answers:
    """The answers and parts of nodes, as they are read."""

    def __init__(self, columns: TextColumns):
        self.columns = columns
        self.found: dict[int, tuple[str, ...]] = {}
        """Number of a node -> its answers."""
        self.parts: dict[int, str] = {}

    def read(self, row: TableRow, number: int, name: str, part: str, *, has_answers: bool) -> None:
        """Read the part of a node and, from a row that has it, its answer; a node without an answer has none."""
        has_answer = has_answers and any(
            text_of(row, each).strip() for each in self.columns.answers
        )
        if has_answer:
            named = TableRow(row.path, row.line, row.raw, {**row.fields, NODE: name})
            self.found[number] = read_answered(named, self.columns).answers
        if part and (has_answer or not has_answers):
            expected = "train, val, test, or none for a node of no part"
            self.parts[number] = part_of(row, part, expected)

    def table(self, graph: Graph) -> NodeTable:
        """Return the nodes that have an answer, in their order."""
        rows = sorted(self.found)
        parts = [self.parts.get(row, "") for row in rows]
        return NodeTable(
            graph,
            np.array(rows, np.int64),
            [self.found[row] for row in rows],
            graph.name,
            parts if any(parts) else (),
        )


def _read_labels(
    rows: Iterator[TableRow],
    columns: GraphColumns,
    numbers: Mapping[str, int],
    name: str,
    found: _Answers,
) -> None:
    """Read a table of ids and answers."""
    lines: dict[int, int | None] = {}
    node = part = ""
    for row in rows:
        if not node:
            names = list(row.fields)
            node = columns.node or next(
                (each for each in ID_COLUMNS if each in names), ID_COLUMNS[0]
            )
            check_columns(row.path, names, [node, *columns.answers.answers], row.line and 1)
            part = columns.part or PART_COLUMN
            part = part if part in names else ""
        number = end_of(row, node, numbers, name, "the answer is of the node")
        if number in lines:
            raise row.error(
                f"the node {shown(text_of(row, node).strip())} has two answers, first in line {lines[number]}; remove "
                "one."
            )
        lines[number] = row.line
        found.read(row, number, text_of(row, node).strip(), part, has_answers=True)


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


def _number(row: TableRow, column: str, numbers: dict[str, int], kept: KeptRowsWriter) -> int:
    """Give the id of a row its number, and return it."""
    name = text_of(row, column).strip()
    if not name:
        raise row.error(f"the id in column {shown(column)} is empty; give each node one.")
    if name in numbers:
        line = kept.line(numbers[name])
        where = f"line {line}" if line else f"row {numbers[name] + 1}"
        raise row.error(f"the id {shown(name)} occurs twice, first in {where}; rename one.")
    numbers[name] = len(numbers)
    return numbers[name]


def _edges(
    rows: Iterator[TableRow], columns: GraphColumns, numbers: Mapping[str, int], name: str
) -> tuple[Indices, dict[str, Column]]:
    """Return the edges, and their features by name; undirected edges come in both directions."""
    writer: EdgeListWriter | None = None
    features: list[str] = []
    first = second = ""
    for row in rows:
        fields = row.fields
        if writer is None:
            first, second = end_columns(row, columns)
            features = [each for each in fields if each not in (first, second)]
            writer = EdgeListWriter(features)
        # Millions of rows: what is right is found by two look-ups.
        source, target = (
            numbers.get(end) if isinstance(end, str) else None
            for end in (fields.get(first), fields.get(second))
        )
        if source is None or target is None:
            check_columns(row.path, list(fields), (first, second), row.line)
            source, target = (
                end_of(row, each, numbers, name, f"the edge has the {each}")
                for each in (first, second)
            )
        writer.append(source, target, [text_of(row, each) for each in features])
    return (writer or EdgeListWriter(())).finish(directed=columns.directed)


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


def end_of(
    row: TableRow, column: str, numbers: Mapping[str, int], name: str, what: str = ""
) -> int:
    """Return the number of the node that a column names, such as an end of an edge.

    Raises: DataError for a node that does not exist, beginning with `what`.
    """
    end = text_of(row, column).strip()
    number = numbers.get(end)
    if number is None:
        near = nearest(end, numbers) if len(numbers) < 10_000 else None
        hint = f"; did you mean {shown(near)}?" if near else "; add the node or remove the row."
        what = what or f"the edge has the {column}"
        raise row.error(f"{what} {shown(end)}, which is no node of {name}{hint}")
    return number


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
