"""The neighbours of a node, ranked and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.data.builtin import papers
from heedful.data.graphs.graph import Graph, NumberedIds
from heedful.data.graphs.nodes import NodeTable
from heedful.explore.edge_record import EdgeRecord
from heedful.explore.explain import explain
from heedful.explore.neighbours import RANKED, ranked_records
from heedful.tasks.table import TASKS
from tests.graphs.test_node_inputs import SMALL, predictor


def recorded(edges: list[list[int]], weights: list[float], nodes: int) -> EdgeRecord:
    index = np.array(edges).reshape(-1, 2).T
    return EdgeRecord("a", "encoder", 0, index, np.array(weights)[:, None], nodes, nodes, "")


def test_neighbours_are_ranked_and_the_rest_is_summed_up() -> None:
    edges = [[n, 0] for n in range(1, 41)]
    weights = [n / 820 for n in range(1, 41)]
    (record,) = ranked_records([recorded(edges, weights, 41)], [str(n) for n in range(41)])
    assert record.key_tokens[:2] == ("40", "39")
    assert record.key_tokens[-1] == f"{40 - RANKED} others"
    assert record.weights.sum() == pytest.approx(1)
    assert record.weights[0, 0, -1] == pytest.approx(sum(weights[:10]))


def test_an_edge_listed_twice_counts_twice_and_a_node_alone_attends_to_nothing() -> None:
    (record,) = ranked_records([recorded([[1, 0], [1, 0], [2, 0]], [0.3, 0.3, 0.4], 3)], "abc")
    assert dict(
        zip(record.key_tokens, record.weights[0, 0].tolist(), strict=True)
    ) == pytest.approx({"b": 0.6, "c": 0.4})
    (alone,) = ranked_records([recorded([], [], 1)], ["a"])
    assert alone.weights.tolist() == [[[0.0]]]


@pytest.mark.parametrize("kind", ["gat", "gatv2", "graph-transformer"])
def test_the_weights_are_those_of_the_model(kind: str) -> None:
    model = predictor({**SMALL, "kind": kind}, papers.build(size=80).with_answers(True))
    node = papers.build(size=80).table.inputs[3]
    explanation = explain(model, node)
    kinds = [(record.kind, record.layer) for record in explanation.records]
    assert kinds == [("neighbours", 0), ("neighbours", 1), ("edges", 0), ("edges", 1)]
    assert explanation.main == [explanation.records[1]]
    for record in explanation.records[:2]:
        assert record.query_tokens == (node.name,)
        torch.testing.assert_close(torch.tensor(record.weights).sum(-1), torch.ones(2, 1))
    if kind != "graph-transformer":
        assert node.name in explanation.main[0].key_tokens  # the self loop
    drawing = explanation.drawing
    assert drawing is not None
    assert drawing["names"][0] == node.name
    assert (drawing["distance"][0], drawing["layers"]) == (0, 2)


def test_a_node_of_many_neighbours_has_a_table_without_a_picture() -> None:
    count = 900
    index = np.stack([np.arange(1, count), np.zeros(count - 1, np.int64)])
    graph = Graph(NumberedIds(count), {"x": np.arange(count, dtype=np.float32)}, index)
    table = NodeTable(graph, np.arange(6), [("a",), ("b",)] * 3)
    explanation = explain(predictor(SMALL, table), table.inputs[0])
    assert explanation.drawing is None
    assert explanation.main[0].key_tokens[-1] == f"{count - RANKED} others"


def test_an_encoder_without_edges_explains_the_node_alone(tmp_path: Path) -> None:
    table: Any = papers.build(size=80).with_answers(True)
    explanation = explain(predictor({"kind": "none", "hidden": 8}, table), table.inputs[0])
    assert explanation.records[0].key_tokens == (table.inputs[0].name,)
    assert TASKS["classify-nodes"].name == "classify-nodes"
    small = {"epochs": 1, "threads": 1, "keep_freed_memory": False}
    model = heedful.train(
        "classify-nodes", train="builtin:papers", out=tmp_path / "run", training=small
    )
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert '"type":"graph","title":"graph"' in report
    assert model.explain("paper3").records
