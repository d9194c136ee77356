"""Links: how they are divided and ranked, and the task through every command."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.answers.link import Link, LinkScore, popularity_ranks
from heedful.config import build
from heedful.data.graphs.graph import Graph, NumberedIds
from heedful.data.graphs.link_tables import LinkSource, links_of_rows
from heedful.data.graphs.links import LinkTable, divide, draw_others
from heedful.data.graphs.tables import GraphColumns
from heedful.data.table_rows import TableRow
from heedful.errors import DataError, OptionError
from heedful.tasks.links import TASK, LinksConfig
from tests.cli.conftest import run_command

SETS = [
    word
    for each in (
        "inputs.width=16", "encoder.width=16", "encoder.heads=2", "training.epochs=3", "training.threads=1",
        "training.keep_freed_memory=false", "data.negatives=10", "data.train_negatives=5",
    )
    for word in ("--set", each)
]  # fmt: skip
SMALL: dict[str, Any] = {
    "inputs": {"width": 16},
    "encoder": {"kind": "gat", "width": 16, "heads": 2},
    "training": {"epochs": 3, "threads": 1, "keep_freed_memory": False},
    "data": {"negatives": 10, "train_negatives": 5},
}


def source(directed: bool = False, **others: Any) -> LinkSource:
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(40, size=(120, 2)), axis=0)
    pairs = rng.permutation(pairs[pairs[:, 0] != pairs[:, 1]])
    return LinkSource(NumberedIds(40), {}, pairs, {}, directed, **others)


def write(folder: Path, count: int = 30) -> None:
    rows = [f"p{n},p{(n + k) % count},{n + 100 * k}" for k in (1, 2, 5) for n in range(count)]
    (folder / "links.csv").write_text("\n".join(["source,target,time", *rows]) + "\n")
    people = "\n".join(f"p{n},{20 + n % 7}" for n in range(count))
    (folder / "people.csv").write_text(f"id,age\n{people}\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("directed", [False, True])
def test_no_message_passes_along_links_of_validation_and_test(directed: bool) -> None:
    train, valid, test = source(directed).parts((0.2, 0.2), 0, 7)
    edges = set(map(tuple, train.graph.edges.T.tolist()))
    held_out = [tuple(pair) for part in (valid, test) for pair in part.pairs.tolist()]
    assert len(held_out) > 20
    for one, other in held_out:
        assert (one, other) not in edges
        if not directed:
            assert (other, one) not in edges
    assert valid.graph is test.graph is train.graph
    if not directed:
        ends = [tuple(sorted(p)) for part in (train, valid, test) for p in part.pairs.tolist()]
        assert len(ends) == len(set(ends))


def test_a_training_link_does_not_tell_of_itself() -> None:
    train, valid, _ = source().parts((0.2, 0.2), 0, 7)
    config = build(LinksConfig, {"inputs": {"width": 64}, "data": {"train_negatives": 3}})
    inputs = TASK.learn(config, train).input
    variant = inputs.augmentation()
    asked = [
        variant(each, np.random.default_rng(n))
        for n, each in enumerate(inputs.encode(train.inputs[:4]))
    ]
    assert all(len(each.number) == 5 for each in asked)
    whole = inputs.collate([each._replace(seed=0) for each in asked]).edges.edges.edge_index.shape[
        1
    ]
    hidden = inputs.collate(asked).edges.edges.edge_index.shape[1]
    assert whole - hidden == 8
    assert inputs.collate(inputs.encode(valid.inputs)).answered.shape == (len(valid), 9)


def test_negatives_are_fixed_and_no_links() -> None:
    links = source()
    _, valid, test = links.parts((0.2, 0.2), 0, 7)
    again = links.parts((0.2, 0.2), 0, 7)[1]
    assert valid.others.tolist() == again.others.tolist()
    known = {tuple(pair) for pair in links.pairs.tolist()}
    known |= {(b, a) for a, b in known}
    for part in (valid, test):
        for (one, _), others in zip(part.pairs.tolist(), part.others.tolist(), strict=True):
            assert all((one, other) not in known and other != one for other in others)
    many = draw_others(np.array([[0, 1]]), np.array([[0, 2]]), 10_000, 50, 0)
    assert len(set(many[0].tolist()) - {0, 1, 2}) == 50
    with pytest.raises(
        OptionError, match="a node has links to all 2 nodes: there is nothing to rank"
    ):
        draw_others(np.array([[0, 1]]), np.array([[0, 1]]), 2, 3, 0)


def test_the_latest_links_are_for_the_test() -> None:
    links = source()
    times = np.random.default_rng(1).permutation(len(links.pairs)).astype(float)
    parts = source(times=times).parts((0.2, 0.2), 0, 3)
    of = {tuple(pair): time for pair, time in zip(links.pairs.tolist(), times, strict=True)}
    found = [[of[tuple(pair)] for pair in part.pairs.tolist()] for part in parts]
    assert max(found[0]) < min(found[1])
    assert max(found[1]) < min(found[2])
    with pytest.raises(OptionError, match="3 links are too few for shares of 0.1 for validation"):
        divide(3, (0.1, 0.1), 0)


def test_a_column_says_the_part() -> None:
    named = ["train"] * 60 + ["valid"] * 10 + ["test"] * 200
    links = source(named=named)
    train, valid, _ = links.parts((0.1, 0.1), 0, 3)
    assert {tuple(p) for p in valid.pairs.tolist()} <= {
        tuple(p) for p in links.pairs[60:70].tolist()
    }
    assert len(train) > 40
    with pytest.raises(DataError, match="links: no link is in the part valid"):
        source(named=["train"] * 200).parts((0.1, 0.1), 0, 3)


def rows_of(*fields: dict[str, Any]) -> list[TableRow]:
    return [TableRow(Path("a.csv"), line, "", each) for line, each in enumerate(fields, 2)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"source": "a", "target": ""}, "a.csv, line 3: the edge has the target ''"),
        (
            {"source": "a", "target": "b", "time": "soon"},
            "a.csv, line 3: the target 'soon' is not a number",
        ),
        (
            {"source": "a", "target": "b", "split": "tset"},
            "a.csv, line 3: column 'split' holds 'tset'",
        ),
    ],
)
def test_what_is_wrong_is_named(row: dict[str, Any], message: str) -> None:
    good = {"source": "a", "target": "b", "time": "1", "split": ""}
    with pytest.raises(DataError, match=message):
        links_of_rows(rows_of(good, {**good, **row}), GraphColumns(), "a.csv", time="time")


def test_no_links_and_unknown_nodes_are_named() -> None:
    with pytest.raises(DataError, match="a.csv holds no links"):
        links_of_rows([], GraphColumns(), "a.csv")
    nodes = Graph(["a"], {}, np.zeros((2, 0), np.int64))
    with pytest.raises(DataError, match="line 2: the edge has the target 'b', which is no node"):
        links_of_rows(rows_of({"source": "a", "target": "b"}), GraphColumns(), "x", nodes=nodes)


def test_ranks_and_metrics() -> None:
    graph = Graph(NumberedIds(5), {}, np.array([[0, 1, 2], [3, 3, 4]]))
    data = LinkTable(graph, np.array([[0, 4], [1, 3]]), np.array([[3, 1], [4, 2]]))
    answer = Link()
    scores = torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
    predicted = answer.predictions(scores, None)  # type: ignore[arg-type]
    assert [each.rank for each in predicted] == [2.0, 1.5]
    metrics = answer.score(predicted, data)
    assert metrics.mrr == pytest.approx((1 / 2 + 1 / 1.5) / 2)
    assert (metrics.hits_1, metrics.hits_10) == (0.0, 1.0)
    assert popularity_ranks(data).tolist() == [2.0, 1.0]
    assert metrics.popularity_mrr == pytest.approx(0.75)
    assert answer.statistics(predicted, data).tolist() == [[0.5, 1], [1 / 1.5, 1]]
    assert answer.predictions(scores[:, :1], None)[0].rank is None  # type: ignore[arg-type]
    assert (answer.to_text(answer.empty()), answer.cells(LinkScore(None))) == ("–", [""])
    assert "popularity" in answer.tables(metrics)[0][0]


def test_every_command(place: Path) -> None:
    for command in (
        (
            "train",
            "links",
            "--train",
            "links.csv",
            "--nodes",
            "people.csv",
            "--time",
            "time",
            "--out",
            "run",
            *SETS,
        ),
        ("evaluate", "run"),
        ("evaluate", "run", "--test", "links.csv"),
        ("explain", "run", "p3 p4", "--out", "attention.html"),
    ):
        ran = run_command(*command)
        assert ran.status == 0, ran.stderr
    Path("new.csv").write_text("source,target\np1,p9\np2,p3\n")
    ran = run_command("predict", "run", "new.csv")
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    assert [row["target"] for row in rows] == ["p9", "p3"]
    assert all(np.isfinite(float(row["predicted"])) for row in rows)
    assert '"source": "p1"' in run_command("predict", "run", "new.csv", "--json").stdout
    Path("new.csv").write_text("source,target\np1,q9\n")
    ran = run_command("predict", "run", "new.csv")
    assert "new.csv, line 2: there is no node 'q9'" in ran.stderr
    ran = run_command(
        "train", "links", "--train", "links.csv", "--valid", "links.csv", "--out", "two"
    )
    assert "validation links are a part of the training table" in ran.stderr


def test_links_in_python(place: Path) -> None:
    model = heedful.train("links", train="links.csv", out="run", **SMALL)
    by_text = model.predict(["p1 p9"])[0].score
    assert model.predict([{"source": "p1", "target": "p9"}])[0].score == pytest.approx(by_text)
    with pytest.raises(DataError, match="'p1' are not two ids; give a source and a target"):
        model.predict(["p1"])
    with pytest.raises(DataError, match="input 1 is 3 .int.; expected two ids"):
        model.predict([3])
    rows = [{"source": f"p{n}", "target": f"p{(n + 1) % 9}"} for n in range(9)] * 3
    assert 0 <= model.evaluate(rows).mrr <= 1
    reader, data = model.predictor.task.reader, model.config.data
    with pytest.raises(OptionError, match="there is no training data; give --train LINKS.csv"):
        reader.read_training(data.model_copy(update={"train": ()}))
    pair = reader.read_test(None, data).inputs[0]
    assert reader.parse(reader.to_argument(pair), data).names == pair.names
    assert model.explain(pair).records
    given = heedful.train("links", train=[dict(row.fields) for row in reader.read(["links.csv"], data, "train").rows],
        out="two", **SMALL)  # fmt: skip
    with pytest.raises(DataError, match="trained on links given in Python, which it does not keep"):
        given.predict(["p1 p9"])


def test_a_ring_is_learned(place: Path) -> None:
    """Each node is linked to those next to it: the model ranks them far better than popularity can."""
    write(place, 60)
    settings = {**SMALL, "training": {**SMALL["training"], "epochs": 40, "learning_rate": 0.02}}
    model = heedful.train("links", train="links.csv", out="run", **settings)
    metrics = model.predictor.evaluate(
        model.predictor.task.reader.read_test(None, model.config.data)
    )
    assert metrics.mrr > 1.5 * metrics.popularity_mrr
    assert (
        len(
            model.predictor.task.reader.read(["links.csv"], model.config.data, "train")
            .take([0, 1])
            .inputs[:1]
        )
        == 1
    )


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"valid": ["other.csv"]}, "validation links are a part of the training table"),
        ({"edges": ["edges.csv"]}, "the links are the edges of the graph; leave data.edges"),
        ({"valid_edges": ["edges.csv"]}, "the links are the edges of the graph; leave data.edges"),
    ],
)
def test_files_that_links_do_not_read_are_refused(setting: dict[str, Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        build(LinksConfig, {"data": {"train": ["links.csv"], **setting}})


def test_the_edges_of_another_graph_are_refused(place: Path) -> None:
    train = run_command("train", "links", "--train", "links.csv", "--out", "run", *SETS)
    assert train.status == 0
    ran = run_command("evaluate", "run", "--test", "links.csv", "--edges", "links.csv")
    assert ran.status == 2
    assert "the links are the edges of the graph" in ran.stderr
