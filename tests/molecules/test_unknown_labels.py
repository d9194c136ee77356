"""Columns of 0 and 1 with blanks: what is not known of a molecule counts nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from heedful.answers.calibration import calibration_error, fit_temperature
from heedful.answers.class_weights import learn_weights
from heedful.answers.label import Label, Labels
from heedful.compare.baselines import fit_baseline
from heedful.config import build
from heedful.data.indicator_columns import KnownLabels, unknown_labels
from heedful.data.molecules.table import MoleculeTable
from heedful.data.texts import Text
from heedful.errors import DataError
from heedful.tasks.molecules import CLASSIFY, ClassifyMoleculesConfig
from heedful.tasks.table import TASKS
from tests.cli.conftest import run_command

pytest.importorskip("rdkit")

CONFIG = build(ClassifyMoleculesConfig, {"data": {"label_columns": ["a", "b"], "min_examples": 1}})
ANSWERS: list[tuple[str, ...]] = [
    ("a",),
    KnownLabels((), ["a"]),
    KnownLabels(("b",), ["a"]),
    ("a", "b"),
]
DATA = MoleculeTable([Text("C" * (n + 1), answers) for n, answers in enumerate(ANSWERS)])
ANSWER = Label.learn(CONFIG, DATA.answers)
NAN = float("nan")


def test_blanks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("smiles,a,b\nC,1,0\nCC,,0\nCCC,,1\nCCCC,1,\n")
    data = CLASSIFY.reader.read([str(path)], CONFIG.data, "train")
    assert data.answers == [("a",), (), ("b",), ("a",)]
    assert [sorted(unknown_labels(each)) for each in data.answers] == [[], ["a"], ["a"], ["b"]]
    assert data.texts()[1] == ["a", "\0a", "b\n\0a", "a\n\0b"]
    lines = [{"smiles": "C", "a": None, "b": 1}, {"smiles": "CC", "a": 1, "b": 0}]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    data = CLASSIFY.reader.read([str(path)], CONFIG.data, "train")
    assert unknown_labels(data.answers[0]) == {"a"}
    (tmp_path / "bad.csv").write_text("smiles,a,b\nC,1,0\nCC, ,\n")
    with pytest.raises(
        DataError, match="bad.csv, line 3: column 'a' and all others of labels are empty"
    ):
        CLASSIFY.reader.read([str(tmp_path / "bad.csv")], CONFIG.data, "train")
    texts = TASKS["classify"]
    (tmp_path / "text.csv").write_text("text,a,b\nx,1,\n")
    config = build(texts.configuration, {"data": {"label_columns": ["a", "b"]}})
    with pytest.raises(DataError, match="line 2: column 'b' is empty"):
        texts.reader.read([str(tmp_path / "text.csv")], config.data, "train")


def test_the_loss_is_of_what_is_known() -> None:
    targets = torch.tensor(ANSWER.targets(DATA))
    np.testing.assert_array_equal(targets, [[1, 0], [NAN, 0], [NAN, 1], [1, 1]])
    scores = torch.linspace(-1, 2, 8).view(4, 2).requires_grad_()
    loss = ANSWER._loss(scores, targets, training=True)
    known = ~targets.isnan()
    torch.testing.assert_close(
        loss, F.binary_cross_entropy_with_logits(scores[known], targets[known], reduction="sum")
    )
    (slope,) = torch.autograd.grad(loss, scores)
    assert not slope[~known].any()
    assert slope[known].all()


def test_weights_of_labels_count_what_is_known() -> None:
    (a, b) = learn_weights(ANSWERS, ("a", "b"), "balanced", 0.0, multi_label=True) or ()
    assert a == (0.0, 1.0)  # of two molecules that are known both have it
    assert b == (1.0, 1.0)


def predictions(*labels: tuple[str, ...]) -> list[Labels]:
    return [Labels(each, {"a": 0.5, "b": 0.5}, (0.3, -0.2)) for each in labels]


def test_metrics_are_of_what_is_known() -> None:
    right = predictions(("a",), ("a",), ("a", "b"), ("a", "b"))
    scores = ANSWER.score(right, DATA)
    assert (scores.accuracy, scores.macro_f1, scores.micro_f1) == (1.0, 1.0, 1.0)
    assert ANSWER.statistics(right, DATA)[:, 0].tolist() == [1, 1, 1, 1]
    wrong = predictions(("a",), ("b",), ("a",), ("a", "b"))
    assert ANSWER.statistics(wrong, DATA)[:, 0].tolist() == [1, 0, 0, 1]
    by_label = {
        each.label: (each.wanted, each.got, each.right) for each in ANSWER.score(wrong, DATA).labels
    }
    assert by_label == {"a": (2, 2, 2), "b": (2, 2, 1)}


def test_calibration_is_of_what_is_known() -> None:
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(40, 2, generator=rng) * 3
    targets = (torch.rand(40, 2, generator=rng) < scores.sigmoid() * 0.6 + 0.2).float()
    known = torch.rand(40, 2, generator=rng) < 0.6
    blank = targets.masked_fill(~known, NAN)
    pairs = scores[known][:, None], targets[known][:, None]
    found = fit_temperature(scores, blank, multi_label=True)
    assert found == pytest.approx(fit_temperature(*pairs, multi_label=True))
    error = calibration_error(scores, blank, multi_label=True)
    assert error == pytest.approx(calibration_error(*pairs, multi_label=True))


@pytest.mark.parametrize("name", ["mean", "neighbour", "forest"])
def test_baselines_learn_each_label_from_those_that_have_it(name: str) -> None:
    _, predict = fit_baseline(name, CLASSIFY, CONFIG, DATA, 0)
    assert predict(DATA)[1].all_probabilities["a"] > 0.99


def test_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{'C' * n}{atom},{int(atom == 'N')},{'' if n % 3 == 0 else int(atom == 'O')}"
        for n in range(1, 13)
        for atom in "NO"
    ]
    Path("t.csv").write_text("\n".join(["smiles,amine,alcohol", *rows]) + "\n")
    settings = (
        "encoder.width=8", "encoder.heads=2", "pooling.heads=2", "inputs.width=8", "training.epochs=2",
        "training.threads=1", "training.keep_freed_memory=false",
    )  # fmt: skip
    sets = [word for each in settings for word in ("--set", each)]
    for command in (
        ("train", "classify-molecules", "--train", "t.csv", "--label", "amine,alcohol", "--split", "random",
         "--class-weights", "balanced", "--out", "run", *sets),
        ("evaluate", "run"),
        ("evaluate", "run", "--test", "t.csv"),
        ("predict", "run", "t.csv"),
    ):  # fmt: skip
        ran = run_command(*command)
        assert ran.status == 0, ran.stderr
    assert "Are the weights faithful?" in Path("run/report.html").read_text("utf-8")
