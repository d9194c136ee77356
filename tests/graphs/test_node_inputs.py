"""What the columns of nodes become, and what a model reads of a graph."""

from __future__ import annotations

import gc
import json
import warnings
import weakref
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import scipy.sparse
import torch

from heedful.config import build
from heedful.data.builtin import papers
from heedful.data.graphs.graph import Graph, Node, NodeList, NumberedIds, SparseNumbers
from heedful.data.graphs.nodes import NodeTable
from heedful.data.graphs.objects import graph_of_object, graph_of_rows
from heedful.data.graphs.tables import GraphColumns
from heedful.data.text_rows import TextColumns
from heedful.errors import DataError, OptionError, RunError
from heedful.inputs.encoded_graphs import KEPT_GRAPHS, NODES
from heedful.inputs.node_features import FeatureTable
from heedful.tasks.nodes import CLASSIFY, ClassifyNodesConfig, RegressNodesConfig

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what PyTorch Geometric imports is deprecated in PyTorch
    from torch_geometric.data import Data

COLUMNS = GraphColumns(answers=TextColumns("\0"))


def converted(given: Any, columns: GraphColumns = COLUMNS) -> NodeTable:
    table = graph_of_object(given, columns, "train")
    assert table is not None
    return table


def test_kinds_of_columns_are_told_apart() -> None:
    values = {
        "number": ["1", "", "3"],
        "kind": ["red", "blue", "red"],
        "code": ["1", "2", "1"],
        "text": ["a b c", "c d", "a"],
        "vector": np.array([[1.0, 2.0], [3.0, 2.0], [5.0, np.nan]], np.float32),
    }
    table = FeatureTable.learn(values, categories=["code"], min_frequency=1)
    kinds = {each.name: each.kind for each in table.columns}
    assert kinds == {
        "number": "number", "kind": "category", "code": "category", "text": "text", "vector": "number"
    }  # fmt: skip
    numbers, entries = table.encode(values, 3)
    assert numbers[:, 0].tolist() == [-1, 0, 1]
    assert numbers[:, 2].tolist() == [0, 0, 0]
    assert entries.start.tolist() == [0, 5, 9, 12]
    sums = np.add.reduceat(entries.values, entries.start[:-1])
    assert sums.tolist() == pytest.approx([3, 3, 3])
    texts = FeatureTable.learn({"kind": values["kind"]}, texts=["kind"], min_frequency=1)
    assert texts.columns[0].kind == "text"


def test_features_that_do_not_fit_are_named() -> None:
    sparse = SparseNumbers.of(np.array([0]), np.array([1]), np.array([2.0], np.float32), 3, 2)
    table = FeatureTable.learn({"n": ["1", "2"], "v": np.ones((2, 2), np.float32), "s": sparse})
    good = {"n": ["1", "2"], "v": np.ones((2, 2), np.float32), "s": sparse}
    table.encode(good, 2)
    for change, message in (
        ({"n": None}, "the nodes have no feature 'n'; their features are"),
        (
            {"n": ["x", "1"]},
            "the feature 'n' holds 'x', and numbers in training; write it like 1.5",
        ),
        ({"n": ["inf", "1"]}, "the feature 'n' holds infinity; correct it"),
        ({"n": sparse}, "the feature 'n' is dense in training, and sparse here"),
        ({"v": np.ones((2, 3), np.float32)}, "the feature 'v' has 3 numbers a node, in training 2"),
        ({"s": ["1", "2"]}, "the feature 's' is a sparse matrix of 3 columns in training"),
    ):
        values = {k: v for k, v in {**good, **change}.items() if v is not None}
        with pytest.raises(DataError, match=message):
            table.encode(values, 2)
    with pytest.raises(DataError, match=r"holds infinity or numbers above 1e\+18"):
        FeatureTable.learn({"n": ["1", "1e30"]})


def test_what_is_learned_is_saved_and_damage_is_named(tmp_path: Path) -> None:
    table = FeatureTable.learn({"n": ["1", "2"], "t": ["a b", "b c"]}, min_frequency=1)
    path = tmp_path / NODES
    table.save(path)
    assert FeatureTable.load(path) == table
    content = json.loads(path.read_text())
    for name, value in (
        ("mean", ["x"]),
        ("scale", [0.0]),
        ("entries", ["a", "a"]),
        ("kind", "x"),
        ("width", -1),
    ):
        columns = [{**column, name: value} for column in content["columns"]]
        path.write_text(json.dumps({"columns": columns}))
        with pytest.raises(RunError, match="is damaged; copy the run folder again"):
            FeatureTable.load(path)
    path.write_text('{"columns": 3}')
    with pytest.raises(RunError, match="is damaged"):
        FeatureTable.load(path)


def graphs() -> dict[str, Any]:
    """Return one graph in every form."""
    drawn = networkx.Graph()
    for name, x in zip("abcd", ([1, 0], [2, 1], [3, 0], [4, 1]), strict=True):
        drawn.add_node(name, x=x, label="xyxy"["abcd".index(name)], split="train")
    drawn.add_edges_from([("a", "b"), ("b", "c")])
    index = torch.tensor([[0, 1, 1, 2], [1, 2, 0, 1]])
    data = Data(
        x=torch.tensor([[1.0, 0], [2, 1], [3, 0], [4, 1]]), edge_index=index,
        y=torch.tensor([0, 1, 0, 1]), train_mask=torch.ones(4, dtype=torch.bool),
    )  # fmt: skip
    adjacency = scipy.sparse.csr_matrix((np.ones(2), ([0, 1], [1, 2])), shape=(4, 4))
    features = data.x.numpy()
    answers, split = ["x", "y", "x", "y"], ["train"] * 4
    return {
        "networkx": drawn,
        "pyg": data,
        "scipy": {"adjacency": adjacency, "features": features, "answers": answers, "split": split},
        "rows": {
            "nodes": [{"id": n, "p": 1, "label": "x", "split": "train"} for n in "abcd"],
            "edges": [{"source": "a", "target": "b"}, {"source": "b", "target": "c"}],
        },
    }


@pytest.mark.parametrize("form", ["networkx", "pyg", "scipy", "rows"])
def test_graphs_of_python_are_taken_by_their_shape(form: str) -> None:
    table = converted(graphs()[form])
    assert sorted(table.graph.edges.T.tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert len(table) == 4
    assert table.parts == ["train"] * 4
    if form != "rows":
        (column,) = table.graph.columns.values()
        assert np.asarray(column).tolist() == [[1, 0], [2, 1], [3, 0], [4, 1]]
    assert len(set(table.answers)) == (1 if form == "rows" else 2)


def test_what_python_gives_beyond() -> None:
    assert graph_of_object([1, 2], COLUMNS, "train") is None
    directed = networkx.DiGraph([("a", "b")])
    directed.add_node("a", label="x")
    assert converted(directed).graph.edges.tolist() == [[0], [1]]
    wide = np.zeros((4, 100), np.float32)
    wide[[0, 1], [3, 5]] = 1
    table = converted(
        {"adjacency": scipy.sparse.eye(4), "features": wide, "answers": [1.0, 2.0, np.nan, None]}
    )
    (column,) = table.graph.columns.values()
    assert isinstance(column, SparseNumbers)
    assert table.answers == [("1",), ("2",)]
    again = converted(
        {
            "adjacency": scipy.sparse.eye(4),
            "features": scipy.sparse.csr_matrix(wide),
            "answers": list("abcd"),
        }
    )
    (other,) = again.graph.columns.values()
    assert isinstance(other, SparseNumbers)
    assert other.columns.tolist() == column.columns.tolist()
    weighted = converted({"adjacency": 2 * scipy.sparse.eye(4), "answers": list("abcd")})
    assert np.asarray(weighted.graph.edge_columns["weight"]).tolist() == [2] * 4
    data = graphs()["pyg"]
    data.edge_attr = torch.ones(4, 3)
    assert np.asarray(converted(data).graph.edge_columns["edge_attr"]).shape == (4, 3)
    data.y = None
    assert len(converted(data)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adjacency": np.eye(4)}, "adjacency is a ndarray; expected a sparse matrix of SciPy"),
        ({"adjacency": scipy.sparse.csr_matrix((2, 3))}, r"adjacency has the shape \(2, 3\); expected as many rows"),
        ({"lables": 1}, "train has the key 'lables'; the keys of a graph are: adjacency, features, answers, split"),
        ({"features": np.ones((3, 2))}, r"features has the shape \(3, 2\); expected 4 rows"),
        ({"features": scipy.sparse.csr_matrix((3, 2))}, r"features has the shape \(3, 2\); expected 4 rows"),
        ({"features": [["a"]] * 4}, "features holds something else than equally many numbers"),
        ({"answers": [1]}, "train has 4 nodes, 1 answers and 4 parts"),
        ({"split": ["trian"] * 4}, "split holds 'trian'; expected train, val, test or none"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        converted({**graphs()["scipy"], **change})


def test_bad_edges_and_no_nodes_are_named() -> None:
    data = graphs()["pyg"]
    for index, message in (
        (torch.tensor([[0], [9]]), "an edge of train has the node 9, but the nodes are 0 to 3"),
        (torch.tensor([[-1], [0]]), "an edge of train has the node -1"),
        (torch.tensor([0, 1]), r"edge_index has the shape \(2,\); expected \(2, edges\)"),
    ):
        with pytest.raises(DataError, match=message):
            converted(Data(x=data.x, edge_index=index, y=data.y, num_nodes=4))
    with pytest.raises(DataError, match="train holds no nodes; expected at least one"):
        graph_of_rows([], [], COLUMNS, "train")
    with pytest.raises(DataError, match="edge 1 of train: the edge has the source 'q'"):
        graph_of_rows(
            [{"id": "a", "label": "x"}], [{"source": "q", "target": "a"}], COLUMNS, "train"
        )


def predictor(encoder: dict[str, Any], table: NodeTable, **data: Any) -> Any:
    values = {"encoder": encoder, "inputs": {"min_frequency": 1, "width": 16}, "data": data}
    torch.manual_seed(0)
    found = CLASSIFY.learn(build(ClassifyNodesConfig, values), table)
    found.model.eval()
    return found


SMALL = {"kind": "gat", "width": 16, "heads": 2}


@pytest.mark.parametrize(
    "encoder",
    [
        SMALL,
        {**SMALL, "kind": "gatv2"},
        {**SMALL, "kind": "graph-transformer"},
        {**SMALL, "residual": True, "layers": 3},
        {**SMALL, "mean_heads": True},
        {"kind": "gcn", "width": 16},
        {"kind": "none", "hidden": 8},
    ],
)
def test_a_node_is_answered_alone_as_in_the_whole_graph(encoder: dict[str, Any]) -> None:
    table = papers.build(size=80).with_answers(True)
    model = predictor(encoder, table)
    encoded = model.input.encode(table.inputs)
    with torch.no_grad():
        together = model.model(model.input.collate(encoded))
        alone = torch.cat([model.model(model.input.collate([each])) for each in encoded[:9]])
        shuffled = model.model(model.input.collate(encoded[5:2:-1]))
    torch.testing.assert_close(alone, together[:9], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shuffled, together[[5, 4, 3]], rtol=1e-4, atol=1e-5)


def test_nodes_of_two_graphs_are_answered_as_those_of_one() -> None:
    first, second = (papers.build(seed, size=80).with_answers(True) for seed in (0, 1))
    model = predictor(SMALL, first)
    a, b = model.input.encode(first.inputs[:4]), model.input.encode(second.inputs[:4])
    with torch.no_grad():
        mixed = model.model(model.input.collate([a[0], b[0], a[1], b[1]]))
        apart = model.model(model.input.collate(b[:2]))
    torch.testing.assert_close(mixed[[1, 3]], apart, rtol=1e-4, atol=1e-5)


def test_edges_and_their_features_change_the_answer() -> None:
    table = papers.build(size=60).with_answers(True)
    graph = table.graph
    weights = np.random.default_rng(0).random((graph.edges.shape[1], 2)).astype(np.float32)
    kinds = [("cites", "quotes")[n % 2] for n in range(graph.edges.shape[1])]
    scores = []
    for columns in ({}, {"weight": weights, "kind": kinds}, {"weight": 1 - weights, "kind": kinds}):
        changed = Graph(graph.ids, graph.columns, graph.edges, columns)
        rows = NodeTable(changed, table.rows, table.answers)
        model = predictor(SMALL, rows)
        assert model.input.embedding().edge_width == (4 if columns else 0)
        with torch.no_grad():
            scores.append(model.model(model.input.collate(model.input.encode(rows.inputs[:9]))))
    assert not torch.allclose(scores[1], scores[2])
    reversed_ = Graph(graph.ids, graph.columns, graph.edges[:, :30])
    rows = NodeTable(reversed_, table.rows, table.answers)
    model = predictor(SMALL, table)
    with torch.no_grad():
        whole = model.model(model.input.collate(model.input.encode(table.inputs[:9])))
        fewer = model.model(model.input.collate(model.input.encode(rows.inputs[:9])))
    assert not torch.allclose(whole, fewer)


def test_neighbours_are_sampled_anew_in_training_alone() -> None:
    table = papers.build(size=80).with_answers(True)
    model = predictor(SMALL, table, neighbours=(1, 1))
    assert predictor(SMALL, table).input.augmentation() is None
    (encoded,) = model.input.encode(table.inputs[:1])
    variant = model.input.augmentation()
    seeds = {variant(encoded, np.random.default_rng(n)).seed for n in range(3)}
    assert len(seeds) == 3
    assert len(model.input.collate([encoded]).numbers) <= 3
    again = model.input.collate([encoded]), model.input.collate([encoded])
    assert torch.equal(*(each.edges.edges.edge_index for each in again))


def test_a_graph_without_features_has_its_degrees() -> None:
    graph = Graph(NumberedIds(4), {}, np.array([[0, 1, 1, 2], [1, 2, 0, 1]]))
    rows = NodeTable(graph, np.arange(4), [("x",), ("y",), ("x",), ("y",)])
    model = predictor(SMALL, rows)
    assert model.input.sizes() == {"numbers": 2, "words and categories": 0}
    assert model.input.collate(model.input.encode(rows.inputs)).numbers.shape == (4, 2)


def test_features_that_all_are_rare_are_an_error() -> None:
    graph = Graph(["a", "b"], {"kind": ["x", "y"]}, np.zeros((2, 0), np.int64))
    config = build(ClassifyNodesConfig, {})
    with pytest.raises(
        DataError, match="no feature of graph has a value that occurs in inputs.min_frequency = 2"
    ):
        CLASSIFY.learn(config, NodeTable(graph, np.arange(2), [("x",), ("y",)]))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"kind": "graph-transformer", "projections": False}, "a graph-transformer has them"),
        ({"kind": "gat", "residual": True, "projections": False}, "encoder.residual needs them"),
        (
            {"kind": "gat", "mean_heads": True, "projections": False},
            "encoder.mean_heads needs them",
        ),
    ],
)
def test_layers_without_projections_fit_the_rest(encoder: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"encoder.projections is false, but {message}"):
        predictor(encoder, papers.build(size=60).with_answers(True))


def test_an_encoder_chosen_by_name_has_the_settings_of_the_default() -> None:
    config = build(RegressNodesConfig, {"encoder": {"kind": "gatv2"}})
    assert (config.encoder.dropout, config.encoder.heads, config.encoder.projections) == (
        0.6,
        8,
        False,
    )
    assert build(RegressNodesConfig, {"encoder": {"kind": "graph-transformer"}}).encoder.projections
    assert build(RegressNodesConfig, {"encoder": {"kind": "lstm"}}).encoder.kind == "lstm"


def test_layers_without_projections_attend_to_states_as_they_are() -> None:
    """A path of two nodes: the state is the mean of both, weighted."""
    table = papers.build(size=60).with_answers(True)
    model = predictor(SMALL, table)
    assert {name for name, _ in model.model.encoder.named_parameters()} == {
        f"layers.{n}.{name}" for n in (0, 1) for name in ("att_src", "att_dst", "bias")
    }
    assert isinstance(NodeList(table.graph, np.arange(2))[0], Node)


def test_only_the_last_graphs_are_kept_as_numbers() -> None:
    config = build(ClassifyNodesConfig, {"inputs": {"min_frequency": 1}})
    first = Graph(["a", "b"], {"x": np.eye(2, dtype=np.float32)}, np.array([[0], [1]]))
    learned = CLASSIFY.input.learn(config, [Node(first, 0)])
    [kept] = learned.encode([Node(first, 0)])
    assert learned.encode([Node(first, 1)])[0].graph is kept.graph
    gone = []
    for _ in range(KEPT_GRAPHS + 2):
        other = Graph(["a", "b"], {"x": np.eye(2, dtype=np.float32)}, np.array([[0], [1]]))
        learned.encode([Node(other, 0)])
        gone.append(weakref.ref(other))
        del other
    gc.collect()
    assert [each() is None for each in gone] == [True] * 2 + [False] * KEPT_GRAPHS
