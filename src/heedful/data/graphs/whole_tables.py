"""Whole graphs from tables of nodes and edges with a column that names the graph, and from lists of Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from heedful.data.graphs.graph import Graph
from heedful.data.graphs.objects import graph_of_object
from heedful.data.graphs.tables import GraphColumns, end_columns, graph_rows, table_of_rows, text_of
from heedful.data.graphs.whole import GraphTable, WholeGraph, joined
from heedful.data.table_rows import TableRow, check_columns
from heedful.data.text_rows import Text, TextColumns, read_answered
from heedful.errors import DataError, shown

NO_COLUMN: Final = "\0"
"""The name of a column that no table has."""


def read_whole_graphs(
    nodes: Sequence[str], edges: Sequence[str], columns: GraphColumns, graph: str
) -> dict[str, WholeGraph]:
    """Read the graphs of tables, by their names.

    Args:
        nodes: tables of nodes; none: the nodes are those of the edges.
        edges: tables of edges; none: the graphs have none.
        columns: what the other columns mean.
        graph: the column of both that names the graph.

    Raises: DataError naming file and line, as `heedful.data.graphs.tables.read_graph`, and for a graph without a name.
    """
    columns = _features_only(columns)
    by_graph = _grouped(
        chain.from_iterable(graph_rows(path, columns, (graph,)) for path in nodes), graph
    )
    edge_rows = _grouped(
        chain.from_iterable(graph_rows(path, columns, (graph,)) for path in edges), graph
    )
    if not nodes:
        by_graph = {name: _ends(rows, columns) for name, rows in edge_rows.items()}
        columns = replace(columns, node="id")
    for name, rows in edge_rows.items():
        if name not in by_graph:
            raise rows[0].error(
                f"the edge is of the graph {shown(name)}, which has no nodes; add them or remove it."
            )
    if not by_graph:
        raise DataError("the file holds no rows.", path=[*nodes, *edges][0])
    source = " + ".join(map(str, nodes or edges))
    built = {
        name: table_of_rows(
            rows, iter(edge_rows.get(name, ())), columns, f"graph {name} of {source}", answers=False
        ).graph
        for name, rows in by_graph.items()
    }
    return joined(built, source)


def _features_only(columns: GraphColumns) -> GraphColumns:
    """Return columns of which none of a node is an answer or a part: these are of graphs."""
    return replace(columns, answers=TextColumns(answer=NO_COLUMN), part=NO_COLUMN)


def _grouped(rows: Iterable[TableRow], column: str) -> dict[str, list[TableRow]]:
    """Return rows without the name of their graph, by that name."""
    found: dict[str, list[TableRow]] = {}
    for row in rows:
        check_columns(row.path, list(row.fields), (column,), row.line)
        name = text_of(row, column).strip()
        if not name:
            raise row.error(f"column {shown(column)} is empty; name the graph.")
        fields = {key: value for key, value in row.fields.items() if key != column}
        found.setdefault(name, []).append(TableRow(row.path, row.line, "", fields))
    return found


def _ends(rows: Sequence[TableRow], columns: GraphColumns) -> list[TableRow]:
    """Return a row for each node that an edge names."""
    found: dict[str, TableRow] = {}
    for row in rows:
        for end in end_columns(row, columns):
            name = text_of(row, end).strip()
            found.setdefault(name, TableRow(row.path, row.line, "", {"id": name}))
    return list(found.values())


def graphs_with_answers(
    rows: Sequence[Text],
    known: Mapping[str, WholeGraph],
    source: str,
    name: str,
    skipped: Sequence[str] = (),
) -> GraphTable:
    """Return the graphs that rows of a table name.

    Raises: DataError naming file and line, for a graph that has no nodes, or two rows.
    """
    found: list[WholeGraph] = []
    first: dict[str, Text] = {}
    for row in rows:
        graph = row.text.strip()
        if graph not in known:
            raise row.error(
                f"the graph {shown(graph)} has no nodes in {source}; add them or remove the row."
            )
        if graph in first:
            where = first[graph].line
            raise row.error(
                f"the graph {shown(graph)} occurs twice, first in line {where}; remove one."
            )
        first[graph] = row
        found.append(known[graph])
    return GraphTable(found, rows, name, skipped)


def graphs_of_objects(
    given: Sequence[Any],
    columns: GraphColumns,
    answers: TextColumns,
    name: str,
    *,
    needs_answers: bool,
) -> GraphTable | None:
    """Return a list of graphs of Python; None for what is no such list.

    Each is a graph of networkx, whose attributes hold the answer, `Data` of PyTorch Geometric, whose y does, or a
    mapping with `nodes` and `edges`, rows or data frames, and the answer.

    Raises: DataError naming the graph, for one without an answer if it needs one, and as `graph_of_object`.
    """
    graphs: dict[str, Graph] = {}
    rows: list[Text] = []
    for number, one in enumerate(given, start=1):
        what = f"graph {number} of {name}"
        table = graph_of_object(one, _features_only(columns), what, answers=False)
        if table is None:
            if not graphs:
                return None
            raise DataError(
                f"{what} is a {type(one).__name__}; expected a graph as those before it."
            )
        graphs[str(number)] = table.graph
        fields = _answers_of(one, answers)
        row = TableRow(Path(what), None, "", {**fields, answers.text: str(number)})
        has_answer = any(each in fields for each in answers.answers)
        rows.append(
            read_answered(row, answers) if has_answer or needs_answers else Text(str(number))
        )
    if not graphs:
        return None
    return GraphTable(list(joined(graphs, name).values()), rows, name)


def _answers_of(one: Any, columns: TextColumns) -> dict[str, Any]:
    """Return the answers of a graph by their columns, those that it has."""
    if isinstance(one, Mapping):
        return {each: one[each] for each in (*columns.answers, columns.part) if each in one}
    if hasattr(one, "edge_index"):
        y = getattr(one, "y", None)
        values = [] if y is None else y.reshape(-1).tolist()
        written = [int(each) if float(each).is_integer() else each for each in values]
        return dict(zip(columns.answers, written, strict=False))
    attributes = dict(one.graph)
    return {
        each: attributes[each] for each in (*columns.answers, columns.part) if each in attributes
    }
