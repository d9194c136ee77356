"""Whole graphs as examples: tables and lists of Python, through every command."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networkx
import numpy as np
import pytest
import torch

import heedful
from heedful.config import build
from heedful.data.graphs.graph import Graph, SparseNumbers
from heedful.data.graphs.whole import joined
from heedful.errors import DataError, OptionError
from heedful.models.encoders import ENCODERS
from heedful.tasks.graphs import CLASSIFY, ClassifyGraphsConfig, RegressGraphsConfig
from tests.cli.conftest import run_command

SMALL: dict[str, Any] = {
    "inputs": {"width": 8, "min_frequency": 1},
    "encoder": {"kind": "gatv2", "width": 8, "heads": 2, "layers": 2},
    "pooling": {"heads": 2},
    "training": {"epochs": 3, "threads": 1, "keep_freed_memory": False, "batch_tokens": 60},
}
SETS = [
    word
    for each in (
        "inputs.width=8", "inputs.min_frequency=1", "encoder.width=8", "encoder.heads=2", "encoder.layers=2",
        "pooling.heads=2", "training.epochs=3", "training.threads=1", "training.keep_freed_memory=false",
    )
    for word in ("--set", each)
]  # fmt: skip
FILES = ("--nodes", "members.csv", "--edges", "ties.csv")
KINDS = ("ring", "path")


def write(folder: Path, name: str = "", size: int = 20) -> None:
    """Write rings and paths of 3 to 6 people; the rows of different graphs take turns."""
    graphs, nodes, edges = ["graph,kind,size,part"], [], []
    for n in range(size):
        count = 3 + n % 4
        part = ("train", "train", "train", "val", "test")[n // 2 % 5]
        graphs.append(f"{name}g{n},{KINDS[n % 2]},{count},{part}")
        nodes += [(i, f"{name}g{n},p{i},{20 + i},{('ball', 'chess')[i % 2]}") for i in range(count)]
        last = count if n % 2 == 0 else count - 1
        edges += [f"{name}g{n},p{i},p{(i + 1) % count},{i / 10}" for i in range(last)]
    (folder / f"{name}groups.csv").write_text("\n".join(graphs) + "\n", encoding="utf-8")
    rows = ["graph,id,age,likes", *(row for _, row in sorted(nodes))]
    (folder / f"{name}members.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    rows = ["graph,source,target,weight", *edges]
    (folder / f"{name}ties.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def test_every_command(place: Path) -> None:
    write(place, "new-", size=4)
    other = ("--nodes", "new-members.csv", "--edges", "new-ties.csv")
    for command in (
        ("train", "classify-graphs", "--train", "groups.csv", *FILES, "--label", "kind", "--splits-column", "part",
         "--out", "run", *SETS),
        ("evaluate", "run"),
        ("evaluate", "run", "--test", "new-groups.csv", *other),
        ("explain", "run", "g3", "--out", "attention.html"),
        ("explain", "run", "new-g1", *other, "--out", "new.png"),
    ):  # fmt: skip
        ran = run_command(*command)
        assert ran.status == 0, ran.stderr
    ran = run_command("predict", "run", "new-groups.csv", *other)
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    assert [row["graph"] for row in rows] == [f"new-g{n}" for n in range(4)]
    assert {row["predicted"] for row in rows} <= set(KINDS)
    ran = run_command("predict", "run", "groups.csv", "--json", "-q")
    assert json.loads(ran.stdout.splitlines()[0])["graph"] == "g0"
    ran = run_command("predict", "run", "new-groups.csv")
    assert "new-groups.csv, line 2: there is no graph 'new-g0' in members.csv" in ran.stderr
    ran = run_command("explain", "run", "g99")
    assert "there is no graph 'g99' in members.csv" in ran.stderr


def test_nodes_need_no_table(place: Path) -> None:
    model = heedful.train(
        "regress-graphs", train="groups.csv", edges="ties.csv", target="size", out="run", **SMALL
    )
    [one] = model.predict(["g5"])
    assert 2 < one.value < 7
    train, valid = model.predictor.task.reader.read_training(model.config.data)
    assert (len(train), len(valid)) == (18, 2)
    assert [list(each.nodes) for each in train.graphs[:1]] == [["p0", "p1", "p2"]]


def rings(count: int = 20) -> list[networkx.Graph]:
    found = []
    for n in range(count):
        size = 3 + n % 4
        graph = networkx.cycle_graph(size) if n % 2 == 0 else networkx.path_graph(size)
        graph.graph["label"] = KINDS[n % 2]
        networkx.set_node_attributes(graph, dict(graph.degree), "degree")
        found.append(graph)
    return found


def test_lists_of_networkx(place: Path) -> None:
    model = heedful.train("classify-graphs", train=rings(), out="run", **SMALL)
    assert set(model.labels) == set(KINDS)
    bare = networkx.cycle_graph(4)
    networkx.set_node_attributes(bare, dict(bare.degree), "degree")
    predictions = model.predict([bare, *rings(2)])
    assert len(predictions) == 3
    assert model.explain(bare).title.endswith("the input")
    assert 0 <= model.evaluate(rings(4)).accuracy <= 1
    with pytest.raises(DataError, match="graph 1 of test: there is no column 'label'"):
        model.evaluate([bare])
    with pytest.raises(DataError, match="graph 2 of the input is a int; expected a graph as those"):
        model.predict([bare, 3])
    with pytest.raises(DataError, match="the input is 3 .int.; expected a graph of networkx"):
        model.explain(3)
    with pytest.raises(OptionError, match="the tables of the edges are missing; give --edges"):
        model.predict(["g1"])


def data_of(graph: networkx.Graph, y: list[float]) -> Any:
    """What PyTorch Geometric's Data looks like."""
    pairs = [(u, v) for u, v in graph.edges] + [(v, u) for u, v in graph.edges]
    count = graph.number_of_nodes()
    degrees = [[float(d)] for _, d in graph.degree]
    return SimpleNamespace(
        edge_index=torch.tensor(pairs).T, num_nodes=count, x=torch.tensor(degrees), y=torch.tensor([y])
    )  # fmt: skip


def test_lists_of_pyg_data_and_rows(place: Path) -> None:
    given = [data_of(each, [len(each), len(each) / 2]) for each in rings()]
    model = heedful.train("regress-graphs", train=given, target="a,b", out="run", **SMALL)
    assert len(model.predict(given[:2])[0].values) == 2
    rows = [
        {"nodes": [{"id": str(node), "d": str(d)} for node, d in each.degree],
         "edges": [{"source": str(u), "target": str(v)} for u, v in each.edges], "label": each.graph["label"]}
        for each in rings()
    ]  # fmt: skip
    again = heedful.train("classify-graphs", train=rows, out="other", **SMALL)
    assert 0 <= again.evaluate(rows).accuracy <= 1


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_batch_equals_a_loop(kind: str, place: Path) -> None:
    has_width = ("attention", "transformer", "gat", "gatv2", "graph-transformer", "gcn")
    encoder = {"kind": kind, **({"width": 8} if kind in has_width else {"hidden": 8})}
    values = {"inputs": {"min_frequency": 1}, "encoder": encoder, "pooling": {"heads": 1}}
    config = build(ClassifyGraphsConfig, values)
    table = CLASSIFY.reader.from_object(rings(6), config.data, "train")
    torch.manual_seed(0)
    predictor = CLASSIFY.learn(config, table)
    predictor.model.eval()
    encoded = predictor.input.encode(table.inputs)
    with torch.no_grad():
        together = predictor.model(predictor.input.collate(encoded))
        alone = torch.cat([predictor.model(predictor.input.collate([each])) for each in encoded])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_edges_and_their_features_reach_the_answer(place: Path) -> None:
    def scores(weight: str, drop: int) -> torch.Tensor:
        lines = Path("ties.csv").read_text().splitlines()
        rows = [
            line.rsplit(",", 1)[0] + f",{weight}" if n == 1 else line
            for n, line in enumerate(lines)
        ]
        Path("changed.csv").write_text("\n".join(rows[: len(rows) - drop]) + "\n")
        config = build(
            ClassifyGraphsConfig,
            {**SMALL,
             "data": {"nodes": ["members.csv"], "edges": ["changed.csv"], "label": "kind"}},
        )  # fmt: skip
        table = CLASSIFY.reader.read_files(["groups.csv"], config.data, "train")
        torch.manual_seed(0)
        predictor = CLASSIFY.learn(config, table)
        predictor.model.eval()
        with torch.no_grad():
            return predictor.model(predictor.input.collate(predictor.input.encode(table.inputs)))

    first, heavy, fewer = scores("0.0", 0), scores("9.0", 0), scores("0.0", 1)
    assert not torch.allclose(first[0], heavy[0])
    assert torch.allclose(first[:-1], fewer[:-1], atol=1e-2)
    assert not torch.allclose(first[-1], fewer[-1], atol=1e-4)


def test_vocabularies_are_those_of_training_graphs(place: Path) -> None:
    config = build(
        ClassifyGraphsConfig,
        {**SMALL, "data": {"nodes": ["members.csv"], "edges": ["ties.csv"], "label": "kind"}},
    )
    table = CLASSIFY.reader.read_files(["groups.csv"], config.data, "train")
    few = CLASSIFY.learn(config, table.take([0]))
    mean = few.input.features.columns[0].mean
    assert mean == pytest.approx((21.0,))  # of p0, p1 and p2
    assert len(few.input.features.columns[1].entries) == 2


def test_hidden_nodes_have_no_features(place: Path) -> None:
    model = heedful.train("classify-graphs", train=rings(), out="run", **SMALL)
    inputs = model.predictor.input
    table = model.predictor.task.reader.from_object(rings(1), model.config.data, "train")
    [encoded] = inputs.encode(table.inputs)
    with torch.no_grad():
        hidden = model.predictor.model.inputs(inputs.collate([inputs.hide(encoded, [1]), encoded]))
    assert not torch.equal(hidden[0, 1], hidden[1, 1])
    assert torch.equal(hidden[0, [0, 2]], hidden[1, [0, 2]])


BAD = [
    ("groups.csv", "g0,", "gx,", "groups.csv, line 2: the graph 'gx' has no nodes in members.csv"),
    ("groups.csv", "g1,", "g0,", "groups.csv, line 3: the graph 'g0' occurs twice, first in line 2"),
    ("groups.csv", "g1,path", "g1,", "groups.csv, line 3: column 'kind' is empty"),
    ("groups.csv", "graph,", "name,", "groups.csv, line 1: there is no column 'graph'"),
    ("groups.csv", "3,train", "3,tests", "groups.csv, line 2: column 'part' holds 'tests'"),
    ("members.csv", "g0,p1", "g0,p0", "the id 'p0' occurs twice, first in line 2"),
    ("members.csv", "g0,p0", ",p0", "members.csv, line 2: column 'graph' is empty; name the graph"),
    ("members.csv", "graph,", "of,", "members.csv, line 1: there is no column 'graph'"),
    ("ties.csv", "g0,p0", "g0,p9", "ties.csv, line 2: the edge has the source 'p9', which is no node of graph g0"),
    ("ties.csv", "g0,p0", "gx,p0", "ties.csv, line 2: the edge is of the graph 'gx', which has no nodes"),
    ("ties.csv", "source", "begin", "ties.csv, line 1: there are no columns of the ends of an edge"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "message"), BAD)
def test_bad_tables(place: Path, name: str, old: str, new: str, message: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new, 1))
    ran = run_command(
        "train", "classify-graphs", "--train", "groups.csv", *FILES, "--label", "kind", "--splits-column", "part",
        "--out", "run", *SETS,
    )  # fmt: skip
    assert ran.status == 1, ran.stdout
    assert message in ran.stderr
    assert not Path("run").exists()


def test_bad_options(place: Path) -> None:
    config = build(
        RegressGraphsConfig,
        {
            "data": {
                "splits_column": "part",
                "target": "size",
                "nodes": ["members.csv"],
                "edges": ["ties.csv"],
            }
        },
    )
    reader = CLASSIFY.reader
    text = Path("groups.csv").read_text()
    Path("groups.csv").write_text(text.replace(",test", ",train"))
    with pytest.raises(OptionError, match="column 'part' leaves nothing for the test; give --test"):
        reader.read_test(None, config.data.model_copy(update={"train": ("groups.csv",)}))
    Path("groups.csv").write_text(text.replace(",val", ",train"))
    with pytest.raises(
        OptionError, match="column 'part' leaves nothing for valid; give each part some graphs"
    ):
        reader.read_training(config.data.model_copy(update={"train": ("groups.csv",)}))
    with pytest.raises(OptionError, match="divide the data in two ways; give one of them"):
        build(RegressGraphsConfig, {"data": {"valid": ["x.csv"], "splits_column": "part"}})
    with pytest.raises(OptionError, match="expected two columns, source and target"):
        build(RegressGraphsConfig, {"data": {"edge_columns": ["a"]}})


def test_graphs_are_kept_as_one() -> None:
    sparse = SparseNumbers.of(np.array([0]), np.array([1]), np.array([2.0], np.float32), 3, 1)
    one = Graph(["a"], {"x": sparse, "kind": ["k"]}, np.zeros((2, 0), np.int64))
    two = Graph(["b", "c"], {"x": np.ones((2, 3), np.float32)}, np.array([[0], [1]]), {"w": ["1"]})
    both = joined({"one": one, "two": two}, "all")
    whole = both["two"].graph
    assert np.asarray(whole.columns["x"]).tolist() == [[0, 2, 0], [1, 1, 1], [1, 1, 1]]
    assert whole.columns["kind"] == ["k", "", ""]
    assert whole.edge_columns["w"] == ["1"]
    assert both["two"].edges()[0].tolist() == [[0], [1]]
    wide = Graph(["d"], {"x": np.ones((1, 2), np.float32)}, np.zeros((2, 0), np.int64))
    with pytest.raises(
        DataError, match="'x' of all has 2 numbers a row in one graph and 3 in another"
    ):
        joined({"one": one, "wide": wide}, "all")
    text = Graph(["d"], {"x": ["1"]}, np.zeros((2, 0), np.int64))
    with pytest.raises(DataError, match="'x' of all is text in one graph and numbers in another"):
        joined({"one": one, "text": text}, "all")
