"""Attention drawn on graphs, and whether it names the nodes that a prediction rests on."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.data.builtin import papers
from heedful.errors import OptionError
from heedful.explore.edge_record import EdgeRecord
from heedful.explore.explain import explain
from heedful.explore.faithfulness import can_measure, measure_faithfulness
from heedful.explore.graph_layout import by_stress, hops, rings
from heedful.explore.graph_picture import draw_graph, save_graph
from heedful.explore.graph_view import DRAWN, GraphView
from heedful.explore.neighbours import RANKED, flow, received_records
from heedful.explore.schema import AttentionRecord
from tests.graphs.test_node_inputs import SMALL, predictor

TRAINING = {"epochs": 40, "threads": 1, "keep_freed_memory": False, "learning_rate": 0.01}
CHAIN = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])


def square(kind: str, layer: int, weights: Any) -> AttentionRecord:
    return AttentionRecord("a", kind, layer, "abc", "abc", weights)


def test_a_path_is_laid_out_straight_and_parts_apart() -> None:
    path = by_stress(np.array([[0, 1, 2], [1, 2, 3]]), 4)
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.15)
    assert np.linalg.norm(path[0] - path[3]) > 2.5 * steps.mean()
    apart = by_stress(np.array([[0, 2], [1, 3]]), 4)
    assert np.linalg.norm(apart[0] - apart[2]) > 1.3 * np.linalg.norm(apart[0] - apart[1])
    assert by_stress(np.zeros((2, 0), np.int64), 1).tolist() == [[0.5, 0.5]]
    assert 0 <= path.min() <= path.max() <= 1


def test_rings_are_the_hops_to_the_first_node() -> None:
    index = np.array([[1, 2, 3], [0, 0, 1]])
    distance = hops(index, 5)
    assert distance.tolist() == [0, 1, 1, 2, -1]
    far = np.linalg.norm(rings(index, distance) - 0.5, axis=1)
    np.testing.assert_allclose(far, [0, 0.25, 0.25, 0.5, 0], atol=1e-12)


def test_panels_of_a_whole_graph() -> None:
    view = GraphView.of_whole("abc", CHAIN)
    heads = [[[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]]
    pooling = AttentionRecord("a", "pooling", 0, ["x"], "abc", [[[0.2, 0.3, 0.5]]])
    other = AttentionRecord("a", "pooling", 0, ["x"], "ab", [[[0.2, 0.8]]])
    encoder, pooled = view.rows([square("encoder", 0, heads), pooling, other])
    assert [each.title for each in encoder] == ["encoder, mean of heads", "head 1", "head 2"]
    np.testing.assert_allclose(encoder[1].nodes, [1 / 6, 2 / 3, 1 / 6], rtol=1e-6)
    np.testing.assert_allclose(encoder[1].edges, [0.75, 0.75])
    assert pooled[0].nodes == pytest.approx([0.2, 0.3, 0.5])
    assert not pooled[0].edges.size


def test_panels_of_a_neighbourhood_show_what_matters_in_each_layer() -> None:
    view = GraphView.of_neighbourhood("abc", CHAIN, layers=2)
    weights = [[[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0.5, 0.5]]]
    first, last = view.rows([square("encoder", layer, weights) for layer in (0, 1)])
    pairs = list(zip(*view.pairs.tolist(), strict=True))
    assert dict(zip(pairs, first[0].edges.tolist(), strict=True)) == {
        (0, 1): 0.25, (1, 0): 0.5, (1, 2): 0.0, (2, 1): 0.25,
    }  # fmt: skip
    assert dict(zip(pairs, last[0].edges.tolist(), strict=True)) == {
        (0, 1): 0.0, (1, 0): 0.5, (1, 2): 0.0, (2, 1): 0.0,
    }  # fmt: skip
    assert [row[0].title for row in (first, last)] == ["encoder, layer 1", "encoder, layer 2"]


def test_pictures_are_files_with_names(tmp_path: Path) -> None:
    view = GraphView.of_whole(["<a>", "b$", "c"], CHAIN)
    record = AttentionRecord("a", "encoder", 0, view.names, view.names, np.full((2, 3, 3), 1 / 3))
    save_graph(view, [record], tmp_path / "g.png", "title")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    save_graph(view, [record], tmp_path / "g.svg", "title")
    text = (tmp_path / "g.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert text.count("&lt;a&gt;") == 3  # the mean and two heads
    with pytest.raises(OptionError, match="0 layers of up to 0 panels cannot be drawn"):
        draw_graph(view, [], "title", ["DejaVu Sans"])


def test_the_flow_to_a_node_is_the_product_of_the_layers() -> None:
    rng = np.random.default_rng(0)
    index = np.stack(np.meshgrid(np.arange(4), np.arange(4))).reshape(2, -1)
    layers, product = [], np.eye(4)
    for number in range(2):
        matrix = rng.random((4, 4))
        weights = np.stack([matrix[t, s] for s, t in index.T])[:, None]
        layers.append(EdgeRecord("a", "encoder", number, index, weights, 4, 4, ""))
        product = matrix @ product
    np.testing.assert_allclose(flow(layers, 4), product[0])
    (got,) = received_records(layers[:1], "abcd")
    mean = np.zeros(4)
    np.add.at(mean, index[0], layers[0].weights[:, 0] / 4)
    np.testing.assert_allclose(got.weights[0, 0], mean, rtol=1e-6)


def test_a_node_is_drawn_and_saved(tmp_path: Path) -> None:
    table = papers.build(size=80).with_answers(True)
    explanation = explain(predictor(SMALL, table), table.inputs[3])
    explanation.save(tmp_path / "node.svg", explanation.records)
    text = (tmp_path / "node.svg").read_text(encoding="utf-8")
    assert "edges, layer 1" in text
    assert table.inputs[3].name in text
    explanation.save(tmp_path / "ranked.svg", explanation.main)  # the ranking, as a heat map
    assert "neighbours" in (tmp_path / "ranked.svg").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stars(tmp_path_factory: pytest.TempPathFactory) -> tuple[heedful.TrainedModel, Any]:
    """Hubs, whose label is that of one neighbour of five: the one that is loud."""
    rng = np.random.default_rng(0)
    nodes, edges = [], []
    for hub in range(60):
        loud = int(rng.integers(2))
        part = "val" if hub > 47 else "train"
        nodes.append(
            {"id": f"h{hub}", "mark": "0", "loud": "0", "label": "ab"[loud], "split": part}
        )
        for leaf in range(5):
            is_loud = leaf == hub % 5
            mark = (2 * loud - 1) if is_loud else int(rng.integers(2)) * 2 - 1
            name = f"h{hub}n{leaf}"
            nodes.append(
                {"id": name, "mark": str(mark), "loud": str(int(is_loud)), "label": "", "split": ""}
            )
            edges.append({"source": name, "target": f"h{hub}"})
    given = {"nodes": nodes, "edges": edges}
    model = heedful.train(
        "classify-nodes", train=given, data={"directed": True},
        out=tmp_path_factory.mktemp("runs") / "run", inputs={"width": 16, "dropout": 0.0, "min_frequency": 1},
        encoder={"kind": "gatv2", "width": 16, "heads": 2, "layers": 1, "projections": True, "dropout": 0.0,
                 "attention_dropout": 0.0},
        training={**TRAINING, "epochs": 60},
    )  # fmt: skip
    return model, given


def test_hiding_the_neighbour_that_matters_changes_the_prediction(
    stars: tuple[heedful.TrainedModel, Any],
) -> None:
    model, given = stars
    assert can_measure(model.predictor)
    table = model.predictor.task.reader.from_object(given, model.config.data, "train")
    nodes = table.part("valid").inputs
    measured = measure_faithfulness(model.predictor, nodes, steps=5)
    assert {*measured} == {"encoder", "rollout", "gradient", "random"}
    for each in measured.values():
        assert each.deletion[0] == pytest.approx(each.insertion[-1], abs=1e-5)
        assert each.deletion[-1] == pytest.approx(each.insertion[0], abs=1e-5)
    assert measured["gradient"].deletion_area < measured["random"].deletion_area - 0.02


def test_a_node_without_attention_is_explained_by_gradients(tmp_path: Path) -> None:
    table = papers.build(size=80).with_answers(True)
    model = predictor({"kind": "gcn", "width": 16}, table)
    explanation = explain(model, table.inputs[3])
    (record,) = explanation.main
    assert record.kind == "neighbours"
    assert record.measure.startswith("gradient × input")
    assert len(record.key_tokens) <= RANKED + 1
    measured = measure_faithfulness(model, table.inputs[:4], shares=(0.0, 0.5))
    assert {*measured} == {"gradient", "random"}


def test_graphs_are_drawn_whole_and_large_ones_ranked(tmp_path: Path) -> None:
    import networkx

    given = []
    for n in range(20):
        graph = networkx.cycle_graph(4 + n % 3) if n % 2 else networkx.path_graph(4 + n % 3)
        graph.graph["label"] = "ab"[n % 2]
        networkx.set_node_attributes(graph, dict(graph.degree), "degree")
        given.append(graph)
    small = {
        "inputs": {"width": 8}, "encoder": {"width": 8, "heads": 2, "layers": 2}, "pooling": {"heads": 2},
        "training": {**TRAINING, "epochs": 2},
    }  # fmt: skip
    model = heedful.train("classify-graphs", train=given, out=tmp_path / "run", **small)
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert '"type":"graph","title":"graph"' in report
    assert "Are the weights faithful?" in report
    explanation = model.explain(given[0])
    assert explanation.graph is not None
    explanation.save(tmp_path / "g.png", explanation.records)
    assert '"type":"graph","title":"graph"' in explanation.html()
    measured = measure_faithfulness(model.predictor, [model._parse(given[1], "x")], steps=2)
    assert {*measured} == {"pooling", "encoder", "gradient", "random"}
    for size in (DRAWN + 1, 600):
        large = networkx.path_graph(size)
        networkx.set_node_attributes(large, dict(large.degree), "degree")
        found = model.explain(large)
        assert found.graph is None
        assert {len(each.key_tokens) for each in found.records} == {RANKED + 1}
        assert {each.kind for each in found.records} == {"encoder", "pooling"}
