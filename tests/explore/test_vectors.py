"""Word vectors: neighbours, maps and one-hot beside; of runs, files and Hugging Face models."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.errors import DataError, OptionError
from heedful.explore.vectors.nearness import (
    ONE_HOT_DISTANCE,
    distances,
    neighbours,
    pca,
    tsne,
    unit,
)
from heedful.explore.vectors.tables import WordVectors, chosen_table, run_tables, tables_of
from tests.cli.conftest import run_command

TABLE = WordVectors(
    "animals", ("cat", "dog", "car", "none"), np.array([[2.0, 0.1], [3, 0], [0, 1], [0, 0]])
)
TEXTS = [{"text": "a good film", "label": "yes"}, {"text": "a bad film", "label": "no"}] * 4


def test_neighbours_are_those_of_the_greatest_cosine() -> None:
    found = neighbours(TABLE, "dog", 2)
    assert [each.word for each in found] == ["cat", "car"]
    cosine = 2 / np.hypot(2, 0.1)
    assert found[0].cosine == pytest.approx(cosine)
    assert found[0].distance == pytest.approx(np.linalg.norm(unit(TABLE.values)[0] - [1, 0]))
    assert len(neighbours(TABLE, "dog", 99)) == 3


def test_an_unknown_word_names_the_nearest() -> None:
    assert TABLE.index("Dog") == 1
    with pytest.raises(DataError, match="'doog' has no vector among the 4 words of animals; did"):
        neighbours(TABLE, "doog", 2)


def test_one_hot_vectors_are_all_equally_far() -> None:
    found = distances(np.eye(5))
    assert len(found) == 10
    np.testing.assert_allclose(found, ONE_HOT_DISTANCE)


def test_principal_components_are_those_of_scikit_learn() -> None:
    oracle = pytest.importorskip("sklearn.decomposition").PCA(2, svd_solver="full")
    values = np.random.default_rng(0).normal(size=(9, 5))
    found, wanted = pca(values), oracle.fit_transform(values)
    np.testing.assert_allclose(np.abs(found.places), np.abs(wanted), atol=1e-12)
    share = oracle.explained_variance_ratio_[0]
    assert found.axes[0] == f"component 1: {share:.0%} of the variance"


def test_a_map_of_vectors_on_a_line_or_all_the_same_is_drawn() -> None:
    assert pca(np.ones((3, 4))).places.tolist() == [[0.0, 0.0]] * 3
    assert pca(np.array([[1.0], [2.0]])).places.tolist() == [[-0.5, 0.0], [0.5, 0.0]]


def test_t_sne_puts_groups_apart_and_is_repeatable() -> None:
    pytest.importorskip("sklearn")
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.normal(size=(8, 6)), draw.normal(size=(8, 6)) + 20])
    found = tsne(values).places
    near = np.linalg.norm(found[:8] - found[:8].mean(0), axis=1).max()
    assert np.linalg.norm(found[:8].mean(0) - found[8:].mean(0)) > near
    np.testing.assert_array_equal(found, tsne(values).places)
    with pytest.raises(OptionError, match="at least 4 words; got 3"):
        tsne(values[:3])


def test_t_sne_without_scikit_learn_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(OptionError, match=r"heedful\[maps\]"):
        tsne(np.eye(5))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    pairs = [{"source": "ab c", "target": "c ab"}, {"source": "c d", "target": "d c"}] * 4
    (folder / "pre.txt").write_text("good 1 0 0\nbad 0.9 0.1 0\nother 0 0 1\n", encoding="utf-8")
    once: dict[str, Any] = {"training": {"epochs": 1}}
    inputs = {"word_width": 4, "vectors": str(folder / "pre.txt")}
    heedful.train(
        "classify", train=TEXTS, valid=TEXTS, out=folder / "mood", encoder="none", inputs=inputs, **once,
    )  # fmt: skip
    heedful.train("translate", train=pairs, valid=pairs, out=folder / "pairs", **once)
    return folder


def test_a_run_has_learned_and_pre_trained_vectors(runs: Path) -> None:
    model: Any = heedful.load(runs / "mood").predictor.model
    tables = tables_of(runs / "mood")
    assert list(tables) == ["words", "vectors"]
    lexicon = heedful.load(runs / "mood").predictor.input.tokens.words
    for name, module in (("words", model.inputs.words), ("vectors", model.inputs.vectors)):
        table = tables[name]
        [word_id] = lexicon.ids(["good"])
        np.testing.assert_allclose(
            table.values[table.index("good")], module.weight[word_id].detach(), atol=1e-6
        )
    with pytest.raises(DataError, match="'other' has no vector"):
        tables["words"].index("other")
    assert tables["vectors"].values[tables["vectors"].index("other")].tolist() == [0, 0, 1]
    assert chosen_table(tables, None).name == "words"
    with pytest.raises(OptionError, match="word"):
        chosen_table(tables, "wrds")


def test_a_translator_has_vectors_of_source_and_target(runs: Path) -> None:
    predictor = heedful.load(runs / "pairs").predictor
    tables = run_tables(predictor)
    assert list(tables) == ["source", "target"]
    vocabulary: Any = predictor.answer.vocabulary
    table = tables["target"]
    place = vocabulary.pieces.index(table.words[-1])
    weight = predictor.model.target_embedding.weight
    np.testing.assert_allclose(table.values[-1], weight[place].detach())


def test_a_model_without_words_has_no_vectors(tmp_path: Path) -> None:
    rows = [{"values": [[0.0], [1.0]], "label": each} for each in "ab"] * 4
    model = heedful.train(
        "classify-series", train=rows, valid=rows, out=tmp_path / "run", encoder="none",
        training={"epochs": 1},
    )  # fmt: skip
    with pytest.raises(OptionError, match="no embeddings of words"):
        run_tables(model.predictor)


def test_the_command_shows_neighbours_and_draws_a_map(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = str(runs / "pre.txt")
    ran = run_command("vectors", file, "good", "--neighbours", "2")
    assert ran.status == 0, ran.stderr
    first = ran.stdout.splitlines()[1].split()
    assert first == ["bad", "0.994", "0.111", "0.000", "1.414"]
    ran = run_command("vectors", file, "good", "--json")
    values = json.loads(ran.stdout.splitlines()[-1])
    assert [each["word"] for each in values["neighbours"]["good"]] == ["bad", "other"]
    ran = run_command("vectors", file, "good", "--out", "map.svg")
    text = Path("map.svg").read_text(encoding="utf-8")
    assert "one-hot" in text
    assert "other" in text
    ran = run_command("vectors", file, "--out", "map.csv")
    lines = Path("map.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "word,x,y,asked"
    assert [line.split(",")[0] for line in lines[1:]] == ["good", "bad", "other"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name words whose neighbours are shown"),
        (("good", "--method", "pac"), "pca"),
        (("good", "--out", "map.html"), ".png or .svg file, or .csv"),
        (("gud",), "did you mean 'good'?"),
        (("good", "--table", "wrods"), "file"),
        (("good", "--neighbours", "2", "--method", "tsne", "--out", "m.svg"), "at least 4 words"),
    ],
)
def test_wrong_input_gives_one_message(
    runs: Path, args: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run_command("vectors", str(runs / "pre.txt"), *args)
    assert ran.status in (1, 2)
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) <= 4
