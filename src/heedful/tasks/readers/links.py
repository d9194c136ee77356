"""Tables of links, one a row: divided by time, a column or at random, and scored with a column appended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from heedful.data.dataset import Dataset
from heedful.data.files import iterate_lines
from heedful.data.graphs.graph import Graph
from heedful.data.graphs.link_tables import LinkSource, links_of_rows
from heedful.data.graphs.links import LinkTable, Pair
from heedful.data.graphs.tables import GraphColumns, edge_rows, graph_table, pair_of, text_of
from heedful.data.opening import check_file
from heedful.data.table_rows import TableRow, check_columns
from heedful.data.text_rows import TextColumns
from heedful.errors import DataError, OptionError
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TableStream,
)
from heedful.tasks.readers.graph_files import modified, read_nodes
from heedful.tasks.readers.nodes import NodeData


class LinkData(NodeData):
    """Files and columns of links and nodes, and how the links are divided."""

    train: tuple[str, ...] = Field(
        (),
        description="Tables of links: a source and a target per row, .tsv, .csv or .jsonl, also .gz.",
    )
    nodes: tuple[str, ...] = Field(
        (),
        description="Tables of nodes with features; none: the nodes are known by their ids alone.",
    )
    time: str = Field(
        "",
        description="Column of the times of links, as numbers: the latest are for validation and test.",
    )
    valid_share: float = Field(0.1, gt=0, lt=1, description="Share of the links for validation.")
    test_share: float = Field(0.1, gt=0, lt=1, description="Share of the links for the test.")
    negatives: int = Field(
        100,
        ge=1,
        description="Nodes without a link that each link of validation and test is ranked among.",
    )
    train_negatives: int = Field(
        20,
        ge=1,
        description="Nodes that each training link is told apart from, drawn in each epoch.",
    )

    @model_validator(mode="after")
    def _one_graph(self) -> Self:
        if self.valid:
            raise OptionError(
                "validation links are a part of the training table, since all are of one graph; leave --valid out, and "
                "name a column of parts or of times"
            )
        if self.edges or self.valid_edges or self.labels:
            raise OptionError(
                "the links are the edges of the graph; leave data.edges, data.valid_edges and data.labels out, and "
                "name the tables of nodes with --nodes"
            )
        return self

    def answer_columns(self) -> TextColumns:
        return TextColumns()


class LinkReader(Reader):
    """Reads links of one graph; no message passes along those of validation and test."""

    reads_lines = False
    train_hint = "--train LINKS.csv"
    test_hint = "a table of links between nodes of the training graph"
    input_hint = "two ids"

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> LinkTable:
        if part == "train":
            return _parts(read_links(paths, data), data)[0]
        links = read_links(paths, data, _kept(data).graph)
        return self._ranked(links, data)

    def _ranked(self, links: LinkSource, data: Any) -> LinkTable:
        """Return links as examples on the training graph, with negatives."""
        known = _kept(data).source
        both = LinkSource(
            known.ids, {}, np.concatenate([known.pairs, links.pairs]), {}, known.directed
        )
        others = both.others(links.pairs, data.negatives, data.valid_seed + 2)
        return links.table(_kept(data).graph, np.arange(len(links.pairs)), others)

    def check_split(self) -> None:
        """Accept any configuration: the links are divided."""

    def read_training(self, data: Any) -> tuple[Dataset, Dataset]:
        if not data.train:
            raise OptionError(f"there is no training data; give {self.train_hint}")
        return _parts(read_links(data.train, data), data)[:2]

    def from_rows(self, rows: Rows, data: Any, name: str) -> LinkTable:
        found = (
            TableRow(Path(f"link {n} of {name}"), None, "", row) for n, row in enumerate(rows, 1)
        )
        if name == "train":
            return _parts(_links(found, data, name), data)[0]
        graph = _kept(data).graph
        return self._ranked(_links(found, data, name, graph), data)

    def split(self, train: LinkTable, data: Any) -> tuple[LinkTable, LinkTable]:
        """Divide links that were given in Python."""
        source = _links(train.rows, data, train.name)
        return _parts(source, data)[:2]

    def read_test(self, values: Sequence[str] | None, data: Any) -> Dataset:
        """Read links to rank; without a file the test part of the training table."""
        return self.read(values, data, "test") if values else _kept(data).test

    def input_of_row(self, row: Mapping[str, Any], data: Any, name: str) -> Pair:
        given = TableRow(Path(name), None, "", row)
        pair = data.edge_columns or pair_of(given)
        check_columns(given.path, list(row), pair, None)
        return self._pair([text_of(given, each) for each in pair], data)

    def parse(self, text: str, data: Any) -> Pair:
        """Return the pair of two ids of the training graph, separated by a space or a tab."""
        ends = text.split("\t") if "\t" in text else text.split()
        if len(ends) != 2:
            raise DataError(
                f"{text!r:.60} are not two ids; give a source and a target, as in 'ann bob'."
            )
        return self._pair(ends, data)

    def _pair(self, ends: Sequence[str], data: Any) -> Pair:
        graph = _kept(data).graph
        source, target = (graph.index(end.strip()) for end in ends)
        return Pair(graph, source, target)

    def check_input(self, given: Any, name: str) -> Pair:
        if isinstance(given, Pair):
            return given
        raise self.wrong_input(given, name)

    def to_argument(self, example: Pair) -> str:
        joint = "\t" if any(" " in name for name in example.names) else " "
        return joint.join(example.names)

    def to_json(self, example: Pair) -> dict[str, Any]:
        source, target = example.names
        return {"source": source, "target": target}

    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        check_file(source.path)
        return _LinkStream(source.path, data, output)


def _columns(data: Any) -> GraphColumns:
    columns: GraphColumns = data.columns()
    return columns


def _links(rows: Any, data: Any, name: str, graph: Graph | None = None) -> LinkSource:
    nodes = graph
    if graph is None and data.nodes:
        nodes = read_nodes(data.nodes, (), data, answers=False).graph
    return links_of_rows(rows, _columns(data), name, time=data.time, nodes=nodes)


def read_links(paths: Sequence[str], data: Any, graph: Graph | None = None) -> LinkSource:
    """Read the links of files, between the nodes of `graph` or of the tables of nodes.

    Raises: DataError as `links_of_rows`.
    """
    return _links(edge_rows(paths, _columns(data)), data, " + ".join(paths), graph)


def _parts(source: LinkSource, data: Any) -> tuple[LinkTable, LinkTable, LinkTable]:
    return source.parts((data.valid_share, data.test_share), data.valid_seed, data.negatives)


class _Kept:
    """What a run is asked about: all links, the graph of the training, and the test part."""

    def __init__(self, data: Any):
        self.source = read_links(data.train, data)
        train, _, self.test = _parts(self.source, data)
        self.graph = train.graph


def _kept(data: Any) -> _Kept:
    if not data.train:
        raise DataError(
            "the run was trained on links given in Python, which it does not keep; save them as a table and train on it"
        )
    return _read_kept(data, tuple(map(modified, (*data.train, *data.nodes))))


@lru_cache(maxsize=2)
def _read_kept(data: Any, changed: tuple[int, ...]) -> _Kept:
    return _Kept(data)


class _LinkStream(TableStream):
    """The pairs of a table, written with their scores appended."""

    unit = "links"

    def __init__(self, path: Path, data: Any, output: OutputFormat):
        self.path, self.data, self.output = path, data, output
        self.table, self.graph = graph_table(path), _kept(data).graph

    def items(self) -> Iterator[TableRow]:
        lines = iterate_lines(self.path, self.data.encoding, max_line=self.data.max_line)
        rows = self.table.rows(self.path, lines, self.data.edge_columns, self.output.columns)
        for row in rows:
            self.input(row)
            yield row

    def input(self, item: TableRow) -> Pair:
        pair = self.data.edge_columns or pair_of(item)
        try:
            source, target = (self.graph.index(text_of(item, each).strip()) for each in pair)
        except DataError as error:
            raise item.error(str(error)) from None
        return Pair(self.graph, source, target)

    def location(self, item: TableRow, number: int) -> str:
        return item.error("").where or super().location(item, number)

    def format(
        self, item: TableRow, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return self.extended(item.raw, cells)

    def to_json(self, item: TableRow, number: int) -> dict[str, Any]:
        source, target = self.input(item).names
        return {"source": source, "target": target}
