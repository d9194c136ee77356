"""The tasks on nodes, from files and from Python, through every command."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import networkx
import pytest

import heedful
from heedful.errors import DataError, OptionError
from tests.cli.conftest import run_command

TRAINING = {"epochs": 3, "threads": 1, "keep_freed_memory": False}
SMALL: dict[str, Any] = {
    "inputs": {"width": 16, "min_frequency": 1},
    "encoder": {"kind": "gat", "width": 16, "heads": 2},
    "training": TRAINING,
}
SETS = [
    word
    for each in (
        "inputs.width=16", "inputs.min_frequency=1", "encoder.width=16", "encoder.heads=2", "training.epochs=3",
        "training.threads=1", "training.keep_freed_memory=false",
    )
    for word in ("--set", each)
]  # fmt: skip
TEAMS = ("red", "blue")


def write(folder: Path, name: str = "", parts: bool = False, size: int = 24) -> None:
    """Write a graph of two teams."""
    names = ("train", "train", "val", "test")
    rows = [
        f"p{n},{20 + n},{('ball', 'chess')[n % 2]} {TEAMS[n % 2]},{TEAMS[n % 2]}"
        + (f",{names[n // 2 % 4]}" if parts else "")
        for n in range(size)
    ]
    head = "id,age,likes,label" + (",split" if parts else "")
    (folder / f"{name}nodes.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    edges = [f"p{n},p{(n + 2) % size},{n / 10}" for n in range(size)]
    (folder / f"{name}edges.csv").write_text(
        "\n".join(["source,target,weight", *edges]) + "\n", encoding="utf-8"
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def test_every_command(place: Path) -> None:
    write(place, "other-", size=10)
    for command in (
        (
            "train",
            "classify-nodes",
            "--train",
            "nodes.csv",
            "--edges",
            "edges.csv",
            "--out",
            "run",
            *SETS,
        ),
        ("evaluate", "run", "--test", "nodes.csv"),
        ("evaluate", "run", "--test", "other-nodes.csv", "--edges", "other-edges.csv"),
        ("predict", "run", "nodes.csv", "--column", "guess"),
        ("explain", "run", "p3", "--out", "attention.html"),
    ):
        ran = run_command(*command)
        assert ran.status == 0, ran.stderr
    ran = run_command("predict", "run", "other-nodes.csv", "--edges", "other-edges.csv")
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    assert [row["id"] for row in rows] == [f"p{n}" for n in range(10)]
    assert {row["predicted"] for row in rows} <= set(TEAMS)
    assert float(rows[0]["predicted_probability"]) > 0
    ran = run_command("predict", "run", "nodes.csv", "--json", "-q")
    assert json.loads(ran.stdout.splitlines()[0])["node"] == "p0"
    ran = run_command("predict", "run", "nodes.csv", "--column", "age")
    assert "nodes.csv, line 1: column 'age' already exists" in ran.stderr


def test_a_column_divides_the_nodes_of_one_graph(place: Path) -> None:
    write(place, parts=True)
    model = heedful.train(
        "classify-nodes", train="nodes.csv", edges="edges.csv", out="run", **SMALL
    )
    reader, data = model.predictor.task.reader, model.config.data
    train, valid = reader.read_training(data)
    test = reader.read_test(None, data)
    names = [[node.name for node in each.inputs] for each in (train, valid, test)]
    assert names[1] == ["p4", "p5", "p12", "p13", "p20", "p21"]
    assert names[2] == ["p6", "p7", "p14", "p15", "p22", "p23"]
    assert set(names[0]) == {f"p{n}" for n in range(24)} - {*names[1], *names[2]}
    assert run_command("evaluate", "run").status == 0
    assert len(reader.read_test(["nodes.csv"], data)) == 6
    assert len(reader.read(["nodes.csv"], data, "valid")) == 6


def test_the_test_part_is_asked_for_where_there_is_none(place: Path) -> None:
    model = heedful.train(
        "classify-nodes", train="nodes.csv", edges="edges.csv", out="run", **SMALL
    )
    reader, data = model.predictor.task.reader, model.config.data
    with pytest.raises(
        OptionError, match="--test is missing, and nodes.csv has no column that says"
    ):
        reader.read_test(None, data)
    with pytest.raises(OptionError, match="--test is missing; give a table of nodes"):
        reader.read_test(None, data.model_copy(update={"train": ()}))
    with pytest.raises(OptionError, match="there is no training data; give --train NODES.csv"):
        reader.read_training(data.model_copy(update={"train": ()}))
    everything = data.model_copy(update={"valid_share": 0.0})
    assert len(reader.read_training(everything)[1]) == 24
    with pytest.raises(DataError, match="2 nodes with an answer are too few to split off"):
        reader.split(reader.read(["nodes.csv"], data, "train").take([0, 1]), data)
    with pytest.raises(OptionError, match="data.edge_columns is .*expected two columns"):
        data.model_copy(update={"edge_columns": ("a",)}).columns()


def test_labels_that_are_ids_are_named(place: Path) -> None:
    rows = "\n".join(f"p{n},{n},label{n}" for n in range(24))
    Path("nodes.csv").write_text(f"id,age,label\n{rows}\n")
    with pytest.raises(DataError, match="24 of 24 labels in column 'label' occur once"):
        heedful.train("classify-nodes", train="nodes.csv", edges="edges.csv", out="run", **SMALL)


def test_a_graph_for_validation(place: Path) -> None:
    write(place, "other-", size=10)
    model = heedful.train(
        "classify-nodes", train="nodes.csv", edges="edges.csv", valid="other-nodes.csv",
        valid_edges="other-edges.csv", out="run", **SMALL,
    )  # fmt: skip
    train, valid = model.predictor.task.reader.read_training(model.config.data)
    assert (len(train), len(valid)) == (24, 10)
    assert train.graph is not valid.graph


def test_numbers_of_nodes_and_graphml(place: Path) -> None:
    graph = networkx.read_edgelist(
        "edges.csv", delimiter=",", data=[("weight", float)], comments="source"
    )
    for node in graph:
        graph.nodes[node]["target"] = float(node[1:])
        graph.nodes[node]["age"] = 20 + int(node[1:])
    networkx.write_graphml(graph, "graph.graphml")
    model = heedful.train("regress-nodes", train="graph.graphml", out="run", **SMALL)
    (value,) = (each.value for each in model.predict(["p3"]))
    assert isinstance(value, float)
    ran = run_command("predict", "run", "graph.graphml")
    assert ran.status == 0, ran.stderr
    rows = list(csv.DictReader(io.StringIO(ran.stdout), delimiter="\t"))
    assert [*rows[0]] == ["id", "predicted"]
    assert len(rows) == 24
    with pytest.raises(OptionError, match="graph.graphml is a whole graph; give it alone"):
        heedful.train("regress-nodes", train="graph.graphml", edges="edges.csv", out="two", **SMALL)
    assert len(model.predict(graph)) == 24


def test_a_graph_of_python_is_not_kept_in_the_run(place: Path) -> None:
    graph = networkx.karate_club_graph()
    for node in graph:
        graph.nodes[node]["label"] = graph.nodes[node].pop("club")
        graph.nodes[node]["degree"] = graph.degree[node]
    model = heedful.train("classify-nodes", train=graph, out="run", **SMALL)
    assert len(model.predict(graph)) == 34
    assert model.evaluate(graph).accuracy >= 0
    with pytest.raises(
        DataError, match="trained on a graph given in Python, which it does not keep"
    ):
        model.predict(["3"])
    with pytest.raises(DataError, match="input 1 is 3 .int.; expected the id of a node"):
        model.predict([3])
    explanation = model.explain(
        next(iter(model.predictor.task.reader.from_object(graph, model.config.data, "g").inputs))
    )
    assert explanation.records


def test_ids_and_rows_name_nodes(place: Path) -> None:
    model = heedful.train(
        "classify-nodes", train="nodes.csv", edges="edges.csv", out="run", **SMALL
    )
    by_id = model.predict(["p3"])[0].all_probabilities
    assert model.predict([{"id": "p3"}])[0].all_probabilities == by_id
    with pytest.raises(DataError, match="there is no node 'q3' in nodes.csv; did you mean"):
        model.predict(["q3"])
    rows = [{"id": f"p{n}", "age": n, "likes": "x", "label": TEAMS[n % 2]} for n in range(12)]
    assert model.evaluate(rows).accuracy >= 0


def test_the_builtin_graph_is_learned_from_its_neighbours(place: Path) -> None:
    def accuracy(encoder: str) -> float:
        settings = {**SMALL["training"], "epochs": 30, "learning_rate": 0.02}
        model = heedful.train(
            "classify-nodes",
            train="builtin:papers",
            out=encoder,
            encoder=encoder,
            training=settings,
        )
        return float(model.evaluate("builtin:papers").accuracy)

    assert accuracy("gat") > max(0.6, accuracy("none"))
    assert heedful.load("gat").predict(["paper80"])[0].label
    with pytest.raises(OptionError, match="unknown built-in graph 'paper'; did you mean 'papers'"):
        heedful.train("classify-nodes", train="builtin:paper", out="no", **SMALL)


def test_options_of_counts(place: Path) -> None:
    model = heedful.train(
        "classify-nodes",
        train="nodes.csv",
        edges=["edges.csv"],
        neighbours="2,2",
        out="run",
        **SMALL,
    )
    assert model.config.data.neighbours == (2, 2)
    with pytest.raises(OptionError, match="--neighbours takes whole numbers, as in 10,5"):
        heedful.train("classify-nodes", train="nodes.csv", neighbours="a", out="no", **SMALL)


def test_labels_in_a_file_of_their_own(place: Path) -> None:
    rows = [line.split(",") for line in Path("nodes.csv").read_text().splitlines()]
    Path("people.csv").write_text("".join(",".join(row[:3]) + "\n" for row in rows))
    Path("labels.csv").write_text("".join(f"{row[0]},{row[3]}\n" for row in rows[:20]))
    write(place, "other-", size=10)
    run_command("train", "classify-nodes", "--train", "people.csv", "--edges", "edges.csv", "--labels", "labels.csv",
        "--out", "run", *SETS)  # fmt: skip
    for arguments in (
        (),
        ("--test", "people.csv", "--labels", "labels.csv"),
        ("--test", "other-nodes.csv", "--edges", "other-edges.csv"),
    ):
        ran = run_command("evaluate", "run", *(arguments or ("--test", "people.csv")))
        assert ran.status == 0, ran.stderr
    ran = run_command("predict", "run", "people.csv")
    assert len(ran.stdout.splitlines()) == 25
    Path("labels.csv").write_text("id,label\np99,red\n")
    ran = run_command("evaluate", "run", "--test", "people.csv")
    assert "labels.csv, line 2: the answer is of the node 'p99', which is no node" in ran.stderr
    assert run_command("explain", "run", "p3").status == 0
