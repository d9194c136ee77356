"""Tables of nodes and edges: a node and its answer per row, written back with predicted columns appended."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from heedful.data.builtin import load_builtin_graph
from heedful.data.dataset import Dataset
from heedful.data.graphs.graph import Node
from heedful.data.graphs.nodes import NodeTable
from heedful.data.graphs.objects import graph_of_object, graph_of_rows
from heedful.data.graphs.tables import GraphColumns
from heedful.data.opening import check_file
from heedful.data.text_rows import TextColumns
from heedful.data.validation_split import validation_rows
from heedful.errors import OptionError
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TextFiles,
    is_builtin,
    text_of_row,
)
from heedful.tasks.readers.graph_files import node_stream, read_nodes, training_graph


class NodeData(TextFiles, abc.ABC):
    """Files and columns of nodes and edges, and how they are divided."""

    train: tuple[str, ...] = Field(
        (),
        description="Tables of nodes: .tsv, .csv or .jsonl, also .gz; or one .graphml, which has the edges too.",
    )
    valid: tuple[str, ...] = Field(
        (), description="The nodes of another graph for validation, in the same formats."
    )
    edges: tuple[str, ...] = Field(
        (), description="Tables of edges: a source and a target per row, and features of the edge."
    )
    labels: tuple[str, ...] = Field(
        (),
        description="Tables of the answers of nodes: an id and its answer per row, and its part. None: the answers are "
        "in the tables of nodes.",
    )
    valid_edges: tuple[str, ...] = Field(
        (), description="Tables of edges of the validation graph; none: those of `edges`."
    )
    valid_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Fraction of the nodes with an answer split off for validation if there is neither a column of "
        "parts nor a validation graph. 0: validate on the training nodes.",
    )
    valid_seed: int = Field(0, ge=0, description="Random seed of the split.")
    node: str = Field(
        "", description="Column of the ids of nodes; empty: id, node, node_id or name."
    )
    features: tuple[str, ...] = Field(
        (), description="Columns that are features of nodes; empty: all that mean nothing else."
    )
    splits_column: str = Field(
        "",
        description="Column that says train, val, test or none; empty: the column split, if there is one.",
    )
    edge_columns: tuple[str, ...] = Field(
        (),
        description="Columns of source and target of an edge; empty: source and target, from and to, src and dst.",
    )
    directed: bool = Field(
        False,
        description="Follow edges from source to target alone: the target attends to the source.",
    )
    neighbours: tuple[int, ...] = Field(
        (),
        description="Most neighbours of a node that are read at each hop, such as 10,10, for graphs that are too large "
        "to be read whole; empty: all.",
    )

    @property
    def max_length(self) -> int:
        """A node is one position."""
        return 1

    @abc.abstractmethod
    def answer_columns(self) -> TextColumns:
        """Return how the answers are read."""

    def columns(self) -> GraphColumns:
        """Return the columns of the tables."""
        if self.edge_columns and len(self.edge_columns) != 2:
            raise OptionError(
                f"data.edge_columns is {list(self.edge_columns)}; expected two columns, source and target"
            )
        return GraphColumns(
            self.node,
            self.answer_columns(),
            self.features,
            self.splits_column,
            self.edge_columns,
            self.directed,
            self.encoding,
            self.max_line,
        )


class NodeReader(Reader):
    """Reads graphs from tables, GraphML and Python; writes tables of nodes with predicted columns appended."""

    reads_lines = False
    train_hint = "--train NODES.csv --edges EDGES.csv"
    test_hint = "a table of nodes, with --edges for its edges,"
    input_hint = "the id of a node of the training graph"

    def builtin(self, name: str, data: Any, part: Part) -> Dataset:
        corpus = load_builtin_graph(name)
        table = corpus.with_answers(data.answer_columns().answer_is_label)
        return table if part == "train" else table.part(part)

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> NodeTable:
        edges = data.valid_edges if part == "valid" and data.valid_edges else data.edges
        # Those of other graphs may be in their own tables.
        table = read_nodes(paths, edges, data, labels=data.labels, own_answers=part != "train")
        if part != "train" and part in table.parts:
            return table.part(part)
        return table

    def read_training(self, data: Any) -> tuple[Dataset, Dataset]:
        if not data.train:
            raise OptionError(f"there is no training data; give {self.train_hint}")
        whole: Any = self.read(data.train, data, "train")
        if data.valid:
            train = whole.part("train") if "train" in whole.parts else whole
            return train, self.read(data.valid, data, "valid")
        return self.split(whole, data)

    def check_split(self) -> None:
        """Accept any configuration: a missing validation set is split off, or is the training set."""

    def split(self, train: NodeTable, data: Any) -> tuple[NodeTable, NodeTable]:
        """Divide the nodes by their parts; without any, split off `data.valid_share` of them."""
        if train.parts:
            return train.part("train"), train.part("valid")
        if not data.valid_share:
            return train, train
        columns = data.answer_columns()
        rest, chosen = validation_rows(
            train,
            data.valid_share,
            data.valid_seed,
            f"{len(train)} nodes with an answer are too few to split off a share of {data.valid_share:g} for "
            "validation; give more, a column of parts, or a validation graph.",
            train.answers if columns.answer_is_label else None,
            columns.answer,
        )
        valid = replace(train.take(chosen), name=f"{data.valid_share:g} of {train.name}")
        return train.take(rest), valid

    def from_rows(self, rows: Rows, data: Any, name: str) -> NodeTable:
        return graph_of_rows(rows, (), data.columns(), name)

    def from_object(self, given: Any, data: Any, name: str) -> NodeTable | None:
        return graph_of_object(given, data.columns(), name)

    def read_test(self, values: Sequence[str] | None, data: Any) -> Dataset:
        """Read the nodes of a test graph; without it the test part of the training graph."""
        if values or is_builtin(data.train):
            return super().read_test(values, data)
        if not data.train:
            raise OptionError(f"--test is missing; give {self.test_hint} not used in training")
        table = read_nodes(data.train, data.edges, data, labels=data.labels)
        if "test" not in table.parts:
            raise OptionError(
                f"--test is missing, and {table.name} has no column that says which nodes are for the test; give "
                f"{self.test_hint} not used in training"
            )
        return table.part("test")

    def input_of_row(self, row: Mapping[str, Any], data: Any, name: str) -> Node:
        column = data.node or next((each for each in ("id", "node", "name") if each in row), "id")
        return self.parse(text_of_row(row, column, name), data)

    def check_input(self, given: Any, name: str) -> Node:
        if isinstance(given, Node):
            return given
        raise self.wrong_input(given, name)

    def parse(self, text: str, data: Any) -> Node:
        """Return the node of this id of the training graph.

        Raises: DataError for an id that is none, or a run that was trained on a graph of Python.
        """
        graph = training_graph(data)
        return Node(graph, graph.index(text.strip()))

    def to_argument(self, example: Node) -> str:
        return example.name

    def to_json(self, example: Node) -> dict[str, Any]:
        return {"node": example.name}

    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        check_file(source.path)
        return node_stream(source.path, data, output)
