"""Baselines of nodes: what each reads, and that they are compared like networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.semi_supervised import LabelSpreading

from heedful.compare.baselines import check_baseline, fit_baseline
from heedful.compare.node_baselines import KEPT
from heedful.config import build
from heedful.data.builtin import papers
from heedful.data.graphs.graph import Graph
from heedful.data.graphs.nodes import NodeTable
from heedful.errors import OptionError
from heedful.tasks.nodes import CLASSIFY, REGRESS, ClassifyNodesConfig, RegressNodesConfig
from heedful.tasks.table import TASKS


def table(answers: list[str], x: np.ndarray, pairs: list[tuple[int, int]]) -> NodeTable:
    index = np.array([*pairs, *((v, u) for u, v in pairs)], np.int64).reshape(-1, 2).T
    graph = Graph([str(n) for n in range(len(x))], {"x": x.astype(np.float32)}, index)
    return NodeTable(graph, np.arange(len(answers)), [(each,) for each in answers])


def predicted(name: str, train: NodeTable, test: NodeTable, task: Any = CLASSIFY) -> list[Any]:
    config = build(task.configuration, {"inputs": {"min_frequency": 1}})
    _, predict = fit_baseline(name, task, config, train, 0)
    return predict(test)


def random_table(count: int = 40) -> NodeTable:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, 3))
    pairs = [(int(u), int(v)) for u, v in rng.integers(count, size=(60, 2)) if u != v]
    return table([("a", "b", "c")[int(each)] for each in rng.integers(3, size=count)], x, pairs)


def test_linear_is_logistic_regression_on_the_features_alone() -> None:
    data = random_table()
    train, test = data.take(range(30)), data.take(range(30, 40))
    x = np.asarray(data.graph.columns["x"], np.float64)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    wanted = LogisticRegression(max_iter=1000).fit(x[:30], [y for (y,) in train.answers])
    found = [
        [each.all_probabilities[y] for y in "abc"] for each in predicted("linear", train, test)
    ]
    np.testing.assert_allclose(found, wanted.predict_proba(x[30:]), atol=1e-4)


def test_linear_is_ridge_regression_of_numbers() -> None:
    data = random_table()
    numbers = NodeTable(data.graph, np.arange(40), [(str(n % 7),) for n in range(40)])
    x = np.asarray(data.graph.columns["x"], np.float64)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    wanted = Ridge().fit(x[:30], [float(n % 7) for n in range(30)]).predict(x[30:])
    found = predicted("linear", numbers.take(range(30)), numbers.take(range(30, 40)), REGRESS)
    np.testing.assert_allclose([each.value for each in found], wanted, atol=1e-4)


def test_propagation_is_that_of_scikit_learn() -> None:
    """Label spreading with the graph as its kernel, whose classes are ranked equally."""
    data = random_table()
    known = data.take(range(20))
    adjacency = np.zeros((40, 40))
    np.add.at(adjacency, tuple(data.graph.edges), 1.0)
    labels = np.array(["abc".index(y) for (y,) in data.answers[:20]] + [-1] * 20)
    model = LabelSpreading(kernel=lambda x, y: adjacency, alpha=KEPT, max_iter=1000, tol=1e-9)
    model.fit(np.arange(40.0)[:, None], labels)
    for node, found in enumerate(predicted("propagation", known, data)):
        shares = model.label_distributions_[node]
        if np.isfinite(shares).all() and adjacency[node].any():
            given = [found.all_probabilities[y] for y in "abc"]
            np.testing.assert_allclose(given, shares, atol=1e-3)


def test_numbers_spread_too_and_what_nothing_reaches_has_the_mean() -> None:
    data = table(["1", "5", "0", "0"], np.zeros((4, 1)), [(0, 2), (1, 2)])
    train = data.take([0, 1])
    values = [each.value for each in predicted("propagation", train, data, REGRESS)]
    assert values[2:] == pytest.approx([3.0, 3.0])
    assert values[0] < 3 < values[1]
    other = table(["0"], np.zeros((1, 1)), [])
    assert [e.value for e in predicted("propagation", train, other, REGRESS)] == [3.0]


def test_one_label_and_no_nodes() -> None:
    data = table(["a", "a", "a"], np.eye(3), [(0, 1)])
    for name in ("linear", "propagation"):
        [one] = predicted(name, data.take([0, 1]), data.take([2]))
        assert one.label == "a"
        assert predicted(name, data.take([0, 1]), data.take([])) == []


@pytest.mark.parametrize("name", ["linear", "propagation"])
def test_both_tell_papers_apart(name: str) -> None:
    data = papers.build(size=300).with_answers(True)
    _, predict = fit_baseline(name, CLASSIFY, build(ClassifyNodesConfig, {}), data.part("train"), 0)
    valid = data.part("valid")
    right = [a.label == b for a, (b,) in zip(predict(valid), valid.answers, strict=True)]
    shares = np.unique([b for (b,) in valid.answers], return_counts=True)[1]
    assert np.mean(right) > shares.max() / len(valid) + 0.1


def test_baselines_that_do_not_fit() -> None:
    with pytest.raises(OptionError, match="the baseline linear reads nodes, which regress-mol"):
        check_baseline("linear", TASKS["regress-molecules"])
    with pytest.raises(OptionError, match="the baseline forest reads molecules, which classify-no"):
        check_baseline("forest", CLASSIFY)
    assert build(RegressNodesConfig, {"encoder": {"kind": "gcn"}}).encoder.layers == 2
