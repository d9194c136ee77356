"""Reading of graphs that files or built-in corpora hold, and the stream of all nodes of one to predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from heedful.data.builtin import load_builtin_graph
from heedful.data.files import iterate_lines
from heedful.data.graphs.graph import Graph, Node
from heedful.data.graphs.graphml import read_graphml
from heedful.data.graphs.nodes import NodeTable
from heedful.data.graphs.tables import graph_table, read_graph
from heedful.data.opening import check_file
from heedful.data.table_rows import check_new_columns
from heedful.data.tables import Table, extension, table_format
from heedful.errors import DataError, OptionError
from heedful.tasks.readers.base import BUILTIN, OutputFormat, Stream, TableStream

GRAPHML: Final = ".graphml"


def read_nodes(
    paths: Sequence[str],
    edges: Sequence[str],
    data: Any,
    *,
    answers: bool = True,
    labels: Sequence[str] = (),
    own_answers: bool = False,
) -> NodeTable:
    """Read a graph of files, as `read_graph`.

    Raises: DataError as `read_graph` and `read_graphml`; OptionError for edges or labels beside a file that has them.
    """
    if any(extension(Path(path)) == GRAPHML for path in paths):
        if len(paths) > 1 or edges or labels:
            raise OptionError(
                f"{paths[0]} is a whole graph; give it alone, without other files, --edges and --labels"
            )
        return read_graphml(Path(paths[0]), data.columns(), answers=answers)
    for path in (*paths, *edges, *labels):
        table_format(Path(path))
    return read_graph(
        paths, edges, data.columns(), answers=answers, labels=labels, own_answers=own_answers
    )


def training_graph(data: Any) -> Graph:
    """Return the graph that a run was trained on.

    Raises: DataError for a graph that was given in Python.
    """
    if not data.train:
        raise DataError(
            "the run was trained on a graph given in Python, which it does not keep; give the graph itself, or some of "
            "`NodeTable.inputs`."
        )
    if data.train[0].startswith(BUILTIN):
        return load_builtin_graph(data.train[0].removeprefix(BUILTIN)).table.graph
    files = tuple((path, modified(path)) for path in (*data.train, *data.edges))
    return _kept_graph(data, files)


def modified(path: str) -> int:
    """Return the time at which a file was written, in nanoseconds.

    Raises: DataError for a file that cannot be read.
    """
    check_file(path)
    return Path(path).stat().st_mtime_ns


@lru_cache(maxsize=2)
def _kept_graph(data: Any, files: tuple[tuple[str, int], ...]) -> Graph:
    return read_nodes(data.train, data.edges, data, answers=False).graph


def node_stream(path: Path, data: Any, output: OutputFormat) -> Stream:
    """Return all nodes of a graph, written as their table with columns appended; of GraphML as a table of ids."""
    graph = read_nodes([str(path)], data.edges, data, answers=False).graph
    if extension(path) == GRAPHML:
        return _IdStream(graph, output)
    table = graph_table(path)
    lines = iterate_lines(path, data.encoding, max_line=data.max_line)
    next(table.rows(path, lines, ()), None)  # reads its header
    check_new_columns(path, list(graph.rows[0].fields), output.columns)
    return _RowStream(graph, output, table)


class _NodeStream(Stream):
    """All nodes of a graph."""

    unit = "nodes"
    cells_in_json = True

    def __init__(self, graph: Graph, output: OutputFormat):
        self.graph, self.output = graph, output

    def items(self) -> Iterator[Node]:
        return (Node(self.graph, row) for row in range(len(self.graph)))

    def input(self, item: Node) -> Node:
        return item

    def location(self, item: Node, number: int) -> str:
        return self.graph.error(item.number, "").where or super().location(item, number)

    def to_json(self, item: Node, number: int) -> dict[str, Any]:
        return {"node": item.name}


class _IdStream(_NodeStream):
    """A table of the ids of nodes and the added columns."""

    def header(self) -> str:
        return "\t".join(["id", *self.output.columns]) + "\n"

    def format(
        self, item: Node, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return "\t".join([item.name, *map(str, cells)]) + "\n"


class _RowStream(_NodeStream, TableStream):
    """The table of nodes with the added columns."""

    def __init__(self, graph: Graph, output: OutputFormat, table: Table):
        super().__init__(graph, output)
        self.table = table

    def format(
        self, item: Node, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return self.extended(self.graph.rows[item.number].raw, cells)
