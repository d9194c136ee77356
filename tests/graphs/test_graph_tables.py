"""Graphs from tables and GraphML: what is read, and what is wrong with a file and where."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest

from heedful.config import build
from heedful.data.graphs.graph import Graph, NodeList, NumberedIds
from heedful.data.graphs.graphml import read_graphml
from heedful.data.graphs.neighbours import neighbourhood
from heedful.data.graphs.nodes import NodeTable
from heedful.data.graphs.tables import GraphColumns, read_graph
from heedful.data.text_rows import TextColumns
from heedful.errors import DataError
from heedful.tasks.nodes import CLASSIFY, ClassifyNodesConfig

NODES = "id,age,label,split\na,1,x,train\nb,2,y,val\nc,3,,none\nd,4,x,test\n"
EDGES = "source,target,weight\na,b,0.5\nb,c,2\nc,c,1\n"
COLUMNS = GraphColumns(answers=TextColumns("\0"))


def read(
    folder: Path, nodes: str = NODES, edges: str = EDGES, columns: GraphColumns = COLUMNS
) -> NodeTable:
    (folder / "nodes.csv").write_text(nodes, encoding="utf-8")
    (folder / "edges.csv").write_text(edges, encoding="utf-8")
    return read_graph([str(folder / "nodes.csv")], [str(folder / "edges.csv")], columns)


def test_a_table_of_nodes_and_one_of_edges(tmp_path: Path) -> None:
    table = read(tmp_path)
    graph = table.graph
    assert list(graph.ids) == ["a", "b", "c", "d"]
    assert graph.columns == {"age": ["1", "2", "3", "4"]}
    assert graph.edges.tolist() == [[0, 1, 2, 1, 2], [1, 2, 2, 0, 1]]
    assert graph.edge_columns == {"weight": ["0.5", "2", "1", "0.5", "2"]}
    assert [node.name for node in table.inputs] == ["a", "b", "d"]
    assert table.answers == [("x",), ("y",), ("x",)]
    assert table.part("valid").answers == [("y",)]
    directed = read(tmp_path, columns=GraphColumns(answers=TextColumns("\0"), directed=True))
    assert directed.graph.edges.tolist() == [[0, 1, 2], [1, 2, 2]]


def test_columns_of_other_names(tmp_path: Path) -> None:
    columns = GraphColumns("who", TextColumns("\0", "team"), ("age",), "part", ("u", "v"))
    nodes = "who,age,team,part,note\na,1,x,train,n\nb,2,y,dev,n\n"
    table = read(tmp_path, nodes, "u,v\na,b\n", columns)
    assert list(table.graph.columns) == ["age"]
    assert table.parts == ["train", "valid"]


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        (NODES, "source,target\na,b\na,q\n", r"edges.csv, line 3: the edge has the target 'q', which is no node"),
        (NODES, "source,target\naa,b\n", r"edges.csv, line 2: the edge has the source 'aa'.*did you mean 'a'\?"),
        (NODES, "one,two\na,b\n", r"edges.csv, line 1: there are no columns of the ends of an edge.*--edge-columns"),
        (NODES + "a,5,x,train\n", EDGES, r"nodes.csv, line 6: the id 'a' occurs twice, first in line 2; rename one"),
        (NODES + " ,5,x,train\n", EDGES, r"nodes.csv, line 6: the id in column 'id' is empty; give each node one"),
        (NODES + "e,5,x,trian\n", EDGES, r"nodes.csv, line 6: column 'split' holds 'trian'; expected train, val, test"),
        (NODES.replace("label", "lable"), EDGES, r"nodes.csv, line 1: there is no column 'label'; did you mean"),
        (NODES.replace("id,", "key,"), EDGES, r"nodes.csv, line 1: there is no column 'id'"),
        ("id,age,label\na,1,\n", "source,target\n", r"no node of .*nodes.csv has an answer in label"),
        ("id,age,label\n", EDGES, r"nodes.csv: the file holds no nodes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, nodes: str, edges: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, nodes, edges)


def test_a_part_without_nodes(tmp_path: Path) -> None:
    table = read(tmp_path, "id,age,label,split\na,1,x,train\n", "source,target\n")
    with pytest.raises(DataError, match="no node with an answer is in the part valid"):
        table.part("valid")


def test_graphml_of_networkx_is_the_table(tmp_path: Path) -> None:
    table = read(tmp_path)
    graph = networkx.Graph()
    for row in csv.DictReader(NODES.splitlines()):
        graph.add_node(row.pop("id"), **row)
    graph.add_edge("a", "b", weight=0.5)
    graph.add_edge("b", "c", weight=2.0)
    networkx.write_graphml(graph, tmp_path / "graph.graphml")
    found = read_graphml(tmp_path / "graph.graphml", COLUMNS)
    assert list(found.graph.ids) == list(table.graph.ids)
    assert found.graph.columns == table.graph.columns
    assert found.answers == table.answers
    assert found.parts == table.parts
    assert found.graph.edges.tolist() == [[0, 1, 1, 2], [1, 2, 0, 1]]
    assert found.graph.edge_columns == {"weight": ["0.5", "2.0", "0.5", "2.0"]}


HEAD = '<graphml><key id="k" for="node" attr.name="label"><default>x</default></key><key id="n" attr.name="name"/>'


def test_graphml_has_defaults_directions_and_other_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.graphml"
    path.write_text(
        f'{HEAD}<graph edgedefault="directed"><node id="1"><data key="n">one</data></node><node id="2">'
        '<data key="k">y</data><data key="n">two</data></node><edge source="1" target="2"/></graph></graphml>'
    )
    columns = GraphColumns("name", TextColumns("\0"))
    table = read_graphml(path, columns)
    assert list(table.graph.ids) == ["one", "two"]
    assert table.answers == [("x",), ("y",)]
    assert table.graph.edges.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<graphml>\n<graph>", r"a.graphml, line 2: not valid XML \(no element found\)"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><graphml/>", "line 1: the file has a document type"),
        ("<graphml/>", "the file is no GraphML: it has no element graph"),
        ("<graphml><graph/></graphml>", "the file holds no nodes"),
        ("<graphml><graph/>\n<graph/></graphml>", "line 2: the file holds several graphs"),
        ("<graphml><graph>\n<node/></graph></graphml>", "line 2: the element 'node' has no id; give it one"),
        ("<?xml version='1.0' encoding='nothing'?><graphml/>", "unknown encoding"),
        ('<graphml><graph><node id="a"/>\n<edge source="a" target="b"/></graph></graphml>',
         "line 2: the edge has the target 'b', which is no node"),
    ],
)  # fmt: skip
def test_bad_graphml_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.graphml"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_graphml(path, COLUMNS, answers=False)


def test_a_long_value_of_graphml_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heedful.data.graphs.graphml._MOST_TEXT", 10)
    path = tmp_path / "a.graphml"
    path.write_text(
        f'{HEAD}<graph><node id="a"><data key="k">{"y" * 11}</data></node></graph></graphml>'
    )
    with pytest.raises(DataError, match="line 1: the value is longer than 10 characters"):
        read_graphml(path, COLUMNS)


def random_graph(nodes: int = 60, edges: int = 200) -> Graph:
    index = np.random.default_rng(0).integers(nodes, size=(2, edges))
    return Graph(NumberedIds(nodes), {}, index)


def test_a_neighbourhood_holds_all_that_reaches_the_nodes() -> None:
    graph = random_graph()
    wanted = np.array([3, 7])
    found = neighbourhood(graph, wanted, 2)
    near = {(s, t) for s, t in graph.edges.T.tolist() if t in (3, 7)}
    ends = {s for s, _ in near} | {3, 7}
    all_edges = [(s, t) for s, t in graph.edges.T.tolist() if t in ends]
    assert found.nodes[:2].tolist() == [3, 7]
    assert len(set(found.nodes.tolist())) == len(found.nodes)
    listed = found.nodes[found.edges].T.tolist()
    assert sorted(map(tuple, listed)) == sorted(all_edges)
    assert graph.edges[:, found.listed].T.tolist() == listed


def test_a_sample_of_neighbours_keeps_the_budget_and_the_seed() -> None:
    graph = random_graph(edges=2000)
    wanted = np.arange(5)
    found = neighbourhood(graph, wanted, 2, (3, 2), seed=1)
    counts = np.bincount(found.edges[1])
    assert counts[:5].tolist() == [3] * 5
    assert counts.max() <= 3
    assert len(found.edges[0]) <= 5 * (3 + 3 * 2)
    same = neighbourhood(graph, wanted, 2, (3, 2), seed=1)
    other = neighbourhood(graph, wanted, 2, (3, 2), seed=2)
    assert same.listed.tolist() == found.listed.tolist() != other.listed.tolist()
    assert set(map(tuple, graph.edges[:, found.listed].T)) <= set(map(tuple, graph.edges.T))


def test_every_neighbour_is_sampled_as_often() -> None:
    graph = Graph(NumberedIds(11), {}, np.stack([np.arange(1, 11), np.zeros(10, np.int64)]))
    counts = np.zeros(11)
    for seed in range(600):
        found = neighbourhood(graph, np.array([0]), 1, (3,), seed)
        counts[found.nodes[1:]] += 1
    assert counts[0] == 0
    assert np.abs(counts[1:] - 180).max() < 60


def test_nodes_without_objects() -> None:
    graph = random_graph()
    nodes = NodeList(graph, np.array([4, 2, 9]))
    assert [node.name for node in nodes[1:]] == ["2", "9"]
    assert nodes[0].number == 4
    assert NumberedIds(5)[1:3] == ["1", "2"]
    assert graph.error(3, "wrong").args[0] == "node '3' of graph: wrong"
    with pytest.raises(DataError, match="there is no node '60' in graph; did you mean"):
        graph.index("60")


def test_rows_of_large_tables_lie_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no memory for them what is read is the same."""
    nodes = "id,age,likes,label\n" + "".join(
        f"n{n},{n},{'a b' if n % 2 else 'ü'},{'xy'[n % 2]}\n" for n in range(50)
    )
    edges = "source,target,weight\n" + "".join(f"n{n},n{n * 7 % 50},{n}\n" for n in range(50))
    small = read(tmp_path, nodes, edges)
    monkeypatch.setattr("heedful.data.spool.MEMORY_LIMIT", 0)
    large = read(tmp_path, nodes, edges)
    base: Any = large.graph.edges
    while not isinstance(base, np.memmap):
        base = base.base
        assert base is not None, "the edges are in memory"
    assert large.graph.edges.tolist() == small.graph.edges.tolist()
    assert dict(large.graph.columns) == dict(small.graph.columns)
    assert dict(large.graph.edge_columns) == dict(small.graph.edge_columns)
    assert [row.raw for row in large.graph.rows] == nodes.splitlines()[1:]
    assert (large.graph.rows[-1].line, large.graph.error(7, "x").where) == (
        51,
        f"{tmp_path}/nodes.csv, line 9",
    )
    config = build(ClassifyNodesConfig, {"inputs": {"min_frequency": 1}})
    first, second = (CLASSIFY.learn(config, each).input for each in (small, large))
    assert first.features == second.features
    for one, other in zip(first.encode(small.inputs), second.encode(large.inputs), strict=True):
        assert np.array_equal(one.graph.numbers, other.graph.numbers)
        assert np.array_equal(one.graph.entries.columns, other.graph.entries.columns)
        assert np.array_equal(one.graph.edge_features, other.graph.edge_features)


LABELS = "id,label,split\nb,y,train\nd,x,val\nc,,\n"


def read_labels(
    folder: Path, labels: str, nodes: str = "id,age\na,1\nb,2\nc,3\nd,4\n"
) -> NodeTable:
    for name, text in (("nodes", nodes), ("edges", EDGES), ("labels", labels)):
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    files = [str(folder / f"{name}.csv") for name in ("nodes", "edges", "labels")]
    return read_graph(files[:1], files[1:2], COLUMNS, labels=files[2:])


def test_answers_in_a_table_of_their_own(tmp_path: Path) -> None:
    table = read_labels(tmp_path, LABELS)
    assert [node.name for node in table.inputs] == ["b", "d"]
    assert (table.answers, table.parts) == ([("y",), ("x",)], ["train", "valid"])
    without = read_labels(tmp_path, "id,label\nd,x\na,y\n", NODES.replace(",label", ",old"))
    assert [node.name for node in without.inputs] == ["a", "d"]
    assert without.parts == ["train", "test"]  # as the table of nodes says


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            LABELS + "dd,x,train\n",
            "labels.csv, line 5: the answer is of the node 'dd', which is no node.*did you mean 'd'",
        ),
        (
            LABELS + "b,x,train\n",
            "labels.csv, line 5: the node 'b' has two answers, first in line 2; remove one",
        ),
        ("id,lab\nb,x\n", "labels.csv, line 1: there is no column 'label'; did you mean 'lab'"),
        ("who,label\nb,x\n", "labels.csv, line 1: there is no column 'id'"),
        ("id,label\nb,\n", "no node of .*nodes.csv has an answer in label"),
        ("id,label,split\nb,x,later\n", "labels.csv, line 2: column 'split' holds 'later'"),
    ],
)
def test_bad_tables_of_answers(tmp_path: Path, labels: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path, labels)
