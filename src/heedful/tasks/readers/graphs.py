"""Whole graphs with an answer each: a table of graphs, and tables of all their nodes and edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

from pydantic import Field, model_validator

from heedful.data.dataset import Dataset
from heedful.data.graphs.tables import GraphColumns
from heedful.data.graphs.whole import GraphTable, WholeGraph
from heedful.data.graphs.whole_tables import (
    graphs_of_objects,
    graphs_with_answers,
    read_whole_graphs,
)
from heedful.data.parts import rows_by_part
from heedful.data.text_rows import Text, TextColumns
from heedful.data.texts import read_texts, texts_of_rows
from heedful.data.validation_split import validation_rows
from heedful.errors import DataError, OptionError, shown
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    text_of_row,
)
from heedful.tasks.readers.graph_files import modified
from heedful.tasks.readers.texts import TextData, TextTable, table_of


class GraphData(TextData):
    """Files and columns of graphs, their nodes and edges, and how they are divided."""

    train: tuple[str, ...] = Field(
        (), description="Tables of graphs and their answers: .tsv, .csv or .jsonl; also .gz."
    )
    nodes: tuple[str, ...] = Field(
        (), description="Tables of the nodes of all graphs; none: the nodes are those of the edges."
    )
    edges: tuple[str, ...] = Field((), description="Tables of the edges of all graphs.")
    text: str = Field("graph", description="Column that names the graph, in all tables.")
    max_length: int = Field(
        1000, ge=1, description="Maximum nodes; larger graphs are left out of training."
    )
    splits_column: str = Field(
        "", description="Column of the training table that says train, val or test."
    )
    node: str = Field(
        "", description="Column of the ids of nodes; empty: id, node, node_id or name."
    )
    features: tuple[str, ...] = Field(
        (), description="Columns that are features of nodes; empty: all that mean nothing else."
    )
    edge_columns: tuple[str, ...] = Field(
        (),
        description="Columns of source and target of an edge; empty: source and target, from and to, src and dst.",
    )
    directed: bool = Field(
        False,
        description="Follow edges from source to target alone: the target attends to the source.",
    )

    @model_validator(mode="after")
    def _one_split(self) -> Self:
        if self.valid and self.splits_column:
            raise OptionError(
                "data.valid and data.splits_column divide the data in two ways; give one of them"
            )
        if self.edge_columns and len(self.edge_columns) != 2:
            raise OptionError(
                f"data.edge_columns is {list(self.edge_columns)}; expected two columns, source and target"
            )
        return self

    def answer_columns(self, answer: str, separator: str, *, is_label: bool) -> TextColumns:
        """Return the columns of the table of graphs."""
        return TextColumns(
            self.text,
            answer,
            separator,
            answer_is_label=is_label,
            encoding=self.encoding,
            max_line=self.max_line,
            skip_bad=self.skip_bad,
            part=self.splits_column,
        )

    def graph_columns(self) -> GraphColumns:
        """Return the columns of the tables of nodes and edges."""
        return GraphColumns(
            node=self.node,
            features=self.features,
            edge=self.edge_columns,
            directed=self.directed,
            encoding=self.encoding,
            max_line=self.max_line,
        )


class GraphReader(Reader):
    """Reads tables of graphs, and writes them with predicted columns appended."""

    reads_text = True
    train_hint = "--train GRAPHS.csv --nodes NODES.csv --edges EDGES.csv"
    test_hint = "a table of graphs"
    input_hint = "a graph of networkx or PyTorch Geometric, a mapping with nodes and edges, or the name of a graph"

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> GraphTable:
        texts = read_texts(paths, data.columns())
        return self._found(texts.rows, data, texts.name, texts.skipped)

    def from_rows(self, rows: Rows, data: Any, name: str) -> GraphTable:
        texts = texts_of_rows(rows, data.columns(), name)
        return self._found(texts.rows, data, name, texts.skipped)

    def _found(
        self, rows: Sequence[Text], data: Any, name: str, skipped: Sequence[str]
    ) -> GraphTable:
        source = " + ".join(data.nodes or data.edges)
        return graphs_with_answers(rows, stored_graphs(data), source, name, skipped)

    def from_object(self, given: Any, data: Any, name: str) -> GraphTable | None:
        if not isinstance(given, list | tuple):
            return None
        return graphs_of_objects(
            given, data.graph_columns(), data.columns(), name, needs_answers=name in PART_NAMES
        )

    def check_split(self) -> None:
        """Accept any configuration: a missing validation set is split off, or is the training set."""

    def split(self, train: Any, data: Any) -> tuple[Any, Any]:
        """Divide the graphs as a column says, or split off `data.valid_share` of them."""
        if data.splits_column:
            parts = rows_by_part(train.rows, data.splits_column, "graphs")
            return train.part("training", parts["train"]), train.part("validation", parts["valid"])
        if not data.valid_share:
            return train, train
        columns = data.columns()
        rest, chosen = validation_rows(
            train,
            data.valid_share,
            data.valid_seed,
            f"{len(train)} graphs are too few to split off a share of {data.valid_share:g} for validation; give more, "
            "or a validation table.",
            train.answers if columns.answer_is_label else None,
            ", ".join(columns.answers),
        )
        return train.take(rest), train.part(f"{data.valid_share:g}", chosen)

    def read_test(self, values: Sequence[str] | None, data: Any) -> Dataset:
        """Read a test table; without one the test part that a column of the training table names."""
        if values or not (data.splits_column and data.train):
            return super().read_test(values, data)
        whole = self.read_files(data.train, data, "train")
        rows = rows_by_part(whole.rows, data.splits_column, "graphs")["test"]
        if not rows:
            raise OptionError(
                f"column {data.splits_column!r} leaves nothing for the test; give --test"
            )
        return whole.part("test", rows)

    def to_input(self, given: Any, data: Any, name: str) -> WholeGraph:
        if isinstance(given, WholeGraph):
            return given
        if not isinstance(given, str):
            found = graphs_of_objects(
                [given], data.graph_columns(), data.columns(), name, needs_answers=False
            )
            if found is not None:
                return found.graphs[0]._replace(name=name)
        graph: WholeGraph = super().to_input(given, data, name)
        return graph

    def input_of_row(self, row: Mapping[str, Any], data: Any, name: str) -> Any:
        return self.parse(text_of_row(row, data.text, name), data)

    def parse(self, text: str, data: Any) -> WholeGraph:
        """Return the graph of this name in the tables of the run.

        Raises: DataError for a name that is none; OptionError without tables.
        """
        return find(text, data)

    def to_argument(self, example: WholeGraph) -> str:
        return example.name

    def to_json(self, example: WholeGraph) -> dict[str, Any]:
        return {"graph": example.name}

    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        columns = data.columns()
        stored_graphs(data)
        return _GraphStream(table_of(source, columns, output), source, columns, output, data)


PART_NAMES = ("train", "valid", "test")
"""What data with answers are called."""


def stored_graphs(data: Any) -> Mapping[str, WholeGraph]:
    """Return the graphs of the tables of nodes and edges, by their names.

    Raises: OptionError without tables; DataError as `read_whole_graphs`.
    """
    if not data.edges:
        raise OptionError(
            "the tables of the edges are missing; give --edges EDGES.csv, and --nodes NODES.csv for features of nodes "
            "(in Python edges= and nodes=, or the graphs themselves); a graph without edges has no row there"
        )
    return _read_stored(data, tuple(map(modified, (*data.nodes, *data.edges))))


@lru_cache(maxsize=2)
def _read_stored(data: Any, changed: tuple[int, ...]) -> Mapping[str, WholeGraph]:
    return read_whole_graphs(data.nodes, data.edges, data.graph_columns(), data.text)


def find(name: str, data: Any) -> WholeGraph:
    """Return the graph of this name.

    Raises: DataError for a name that is none.
    """
    known = stored_graphs(data)
    if name.strip() not in known:
        source = " + ".join(data.nodes or data.edges)
        raise DataError(f"there is no graph {shown(name.strip())} in {source}.")
    return known[name.strip()]


class _GraphStream(TextTable):
    """The rows of a table of graphs."""

    unit = "graphs"

    def __init__(
        self, table: Any, source: InputFile, columns: TextColumns, output: OutputFormat, data: Any
    ):
        super().__init__(table, source, columns, output)
        self.data = data

    def input(self, item: Text) -> Any:
        try:
            return find(item.text, self.data)
        except DataError as error:
            raise item.error(str(error)) from None

    def to_json(self, item: Text, number: int) -> dict[str, Any]:
        return {"line": item.line, "graph": item.text}
