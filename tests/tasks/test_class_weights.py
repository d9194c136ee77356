"""Unevenly frequent labels: class weights, the warning about a constant model, several labels, and splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from heedful.answers.class_weights import CLASS_WEIGHTS, learn_weights, weights_of
from heedful.answers.constant import constant_warning
from heedful.answers.label_tables import SHOWN_LABELS, confusion_reports, label_report
from heedful.answers.sequence_metrics import score_labels
from heedful.config import build
from heedful.data.stratify import stratified_rows
from heedful.data.texts import Text, TextColumns, Texts, split_validation, texts_of_rows
from heedful.errors import DataError, OptionError, RunError
from heedful.tasks.classify import TASK, ClassifyConfig
from heedful.training.events import Finished, Progress, Validated
from heedful.training.loop import train_model

UNEVEN = [("no",)] * 1100 + [("yes",)] * 100
SEVERAL = [("a",), ("a", "b"), ("a",), ()]


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    weights = learn_weights(UNEVEN, ["no", "yes"], "balanced", 0.0, multi_label=False)
    assert weights is not None
    classes, labels = np.array(["no", "yes"]), np.array([label for [label] in UNEVEN])
    wanted = compute_class_weight("balanced", classes=classes, y=labels)
    assert weights[0] == pytest.approx(tuple(wanted))


@pytest.mark.parametrize("weighting", ["balanced", "effective"])
def test_weights_have_mean_one_over_the_texts(weighting: str) -> None:
    [(no, yes)] = learn_weights(UNEVEN, ["no", "yes"], weighting, 0.99, multi_label=False) or ()
    assert 1100 * no + 100 * yes == pytest.approx(1200)
    assert no < yes
    # 1 - 0.99^n: 1100 texts count as 100, 100 texts as 63.4
    ratio = (1 - 0.99**1100) / (1 - 0.99**100)
    assert yes / no == pytest.approx(11 if weighting == "balanced" else ratio)


def test_with_several_labels_each_is_weighed_against_its_absence() -> None:
    weights = learn_weights(SEVERAL, ["a", "b"], "balanced", 0.0, multi_label=True)
    assert weights == ((2.0, pytest.approx(2 / 3)), (pytest.approx(2 / 3), 2.0))
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = weights_of(weights, targets, multi_label=True)
    torch.testing.assert_close(found, torch.tensor([[2 / 3, 2 / 3], [2.0, 2.0]]))
    assert learn_weights(SEVERAL, ["a", "b"], "none", 0.0, multi_label=True) is None


def small(**sections: Any) -> ClassifyConfig:
    training = {"epochs": 12, "batch_tokens": 60, "learning_rate": 0.01, "warmup_steps": 2, "threads": 1,
                "keep_freed_memory": False, **sections.pop("training", {})}  # fmt: skip
    return build(ClassifyConfig, {
        "vocabulary": {"min_frequency": 1}, "inputs": {"word_width": 8, "dropout": 0.0, "word_dropout": 0.0},
        "encoder": {"kind": "none", "hidden": 8}, "training": training, **sections,
    })  # fmt: skip


# One in five texts with the word "leak" is labelled yes, and none without.
RARE = Texts([Text(f"report {n % 7} of a {'leak' if n % 4 == 0 else 'day'}",
                   ("yes" if n % 16 == 0 else "no",)) for n in range(320)])  # fmt: skip


def test_the_loss_is_that_of_pytorch_with_weights() -> None:
    config = small(training={"class_weights": "balanced", "label_smoothing": 0.0})
    predictor = TASK.learn(config, RARE)
    predictor.model.train()
    batch = next(iter(TASK.batches(predictor, RARE, training=True).epoch(0)))
    torch.manual_seed(0)  # the same dropout twice
    loss = predictor.answer.loss(predictor.model, *batch)
    torch.manual_seed(0)
    weight = torch.tensor(predictor.answer.class_weights[0])
    wanted = F.cross_entropy(
        predictor.model(batch.batch), batch.targets[:, 0].long(), weight=weight, reduction="sum"
    )
    torch.testing.assert_close(loss, wanted)
    predictor.model.eval()
    plain = F.cross_entropy(
        predictor.model(batch.batch), batch.targets[:, 0].long(), reduction="sum"
    )
    torch.testing.assert_close(predictor.answer.loss(predictor.model, *batch), plain)


def test_a_constant_model_is_named_and_weights_mend_it(tmp_path: Path) -> None:
    *events, last = train_model(TASK, small(), RARE, RARE, tmp_path / "plain")
    assert isinstance(last, Finished)
    assert last.notices[0].startswith(
        "all 320 predictions are 'no', the label of 94% of the examples"
    )
    assert "--class-weights balanced" in last.notices[0]
    assert [each.notices for each in events if isinstance(each, Validated)][-1] == last.notices[:1]
    mended = small(training={"class_weights": "balanced", "metric": "macro_f1"})
    *_, better = train_model(TASK, mended, RARE, RARE, tmp_path / "weighed")
    assert isinstance(better, Finished)
    assert not any("predictions are" in notice for notice in better.notices)
    assert better.scores["macro_f1"] > last.scores["macro_f1"] + 0.1


def test_even_labels_get_other_advice() -> None:
    even = [("a",), ("b",)] * 5
    warning = constant_warning([("a",)] * 10, even, multi_label=False)
    assert warning is not None
    assert "train longer" in warning
    assert "if that label was the most frequent one in training" in warning
    assert constant_warning([("a",)] * 10, [("a",)] * 10, multi_label=False) is None
    nothing = constant_warning([()] * 4, SEVERAL, multi_label=True)
    assert nothing is not None
    assert "no label is predicted for any of 4 examples, though 75%" in nothing


def test_a_resumed_run_keeps_its_weights(tmp_path: Path) -> None:
    config = small(training={"class_weights": "effective", "epochs": 2, "progress_steps": 1})
    list(train_model(TASK, config, RARE, RARE, tmp_path / "whole"))
    events = train_model(TASK, config, RARE, RARE, tmp_path / "part")
    for event in events:
        if isinstance(event, Progress) and event.step == 5:
            break
    events.close()
    list(train_model(TASK, config, RARE, RARE, tmp_path / "part", resume=True))
    for name in ("model.safetensors", CLASS_WEIGHTS):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    (tmp_path / "part" / CLASS_WEIGHTS).write_text(json.dumps({"format": "other"}))
    with pytest.raises(RunError, match="class_weights.json is damaged"):
        TASK.load(tmp_path / "part")


COLUMNS = TextColumns(label_columns=("new", "sold"))
ROWS = [{"text": f"item {n}", "new": n % 2, "sold": n % 3 == 0} for n in range(60)]


def test_labels_as_columns(tmp_path: Path) -> None:
    data = texts_of_rows(ROWS, COLUMNS, "train")
    assert data.answers[:4] == [("sold",), ("new",), (), ("new", "sold")]
    config = small(data={"label_columns": ["new", "sold"]}, training={"epochs": 1})
    list(train_model(TASK, config, data, data, tmp_path / "run"))
    model = TASK.load(tmp_path / "run")
    [one] = model.predict(["item 3"], threshold=1e-6)
    assert set(one.labels) == set(one.all_probabilities) == {"new", "sold"}
    with pytest.raises(
        DataError, match="example 1 of train: column 'sold' holds 'maybe'; expected 0 or 1"
    ):
        texts_of_rows([{**ROWS[0], "sold": "maybe"}], COLUMNS, "train")
    with pytest.raises(DataError, match="there is no column 'sold'"):
        texts_of_rows([{"text": "a", "new": 1}], COLUMNS, "train")
    never = texts_of_rows([{**row, "sold": 0} for row in ROWS], COLUMNS, "train")
    with pytest.raises(DataError, match="column 'sold' is 0 for every training text"):
        train_model(TASK, config, never, data, tmp_path / "never")
    for wrong, message in (
        ({"label_columns": ["new", "sold"], "separator": ","}, "two forms of several labels"),
        ({"label_columns": ["new", "new"]}, "expected two or more columns, all different"),
    ):
        with pytest.raises(OptionError, match=message):
            small(data=wrong)


def test_labels_that_are_none_are_named() -> None:
    ids = Texts([Text("a text", (f"id-{n}",)) for n in range(40)])
    numbers = Texts([Text("a text", (f"{n / 4}",)) for n in range(40)])
    prices = Texts([Text("a text", (f"{n // 2 if n < 70 else n}",)) for n in range(80)])
    for data, message in (
        (ids, "40 of 40 labels in column 'label' occur once: is it an identifier"),
        (numbers, "and they are numbers: to predict a number use the command regress --target label"
                  .replace("regress ", "regress with ")),
        (prices, "10 of 45 labels in column 'label' occur once, and they are numbers"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            train_model(TASK, small(), data, data, "never-written")
    with pytest.raises(DataError, match="40 of 40 labels in column 'key' occur once"):
        split_validation(ids, 0.1, 0, by_answer=True, column="key")
    two = Texts([Text("a", ("x",)), Text("b", ("y",))])
    with pytest.raises(DataError, match="2 texts are too few"):
        split_validation(two, 0.1, 0, by_answer=True, column="key")


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_each_of_several_labels_gets_its_share(share: float) -> None:
    # 2^5 combinations of labels, most of which occur a few times only
    answers = [
        tuple(f"label {k}" for k in range(5) if (n * 7919) % (k + 3) == 0) for n in range(400)
    ]
    for seed in range(3):
        chosen = stratified_rows(answers, share, seed)
        for k in range(5):
            label = f"label {k}"
            rows = {row for row, labels in enumerate(answers) if label in labels}
            assert abs(len(rows & chosen) - share * len(rows)) <= 2
        assert abs(len(chosen) - share * 400) <= 6
    assert stratified_rows(answers, share, 0) != stratified_rows(answers, share, 1)


def test_a_report_of_many_labels_stays_readable() -> None:
    names = [f"label {n:02}" for n in range(30)]
    references = [(name,) for name in names for _ in range(10)]
    # the first labels are confused with the next one, the more often the earlier they come
    predicted = [
        (names[(k + 1) % 30] if n < max(0, 8 - k) else names[k],)
        for k in range(30)
        for n in range(10)
    ]
    metrics = score_labels(predicted, references)
    matrix, confusions = confusion_reports(metrics.labels, metrics.confusion)
    assert len(label_report(metrics.labels).rows) == 30
    assert [*matrix.columns][:3] == ["true \\ predicted", "label 00", "label 01"]
    assert len(matrix.columns) == len(matrix.rows) + 1 == SHOWN_LABELS + 1
    assert matrix.columns[-1] == f"{30 - SHOWN_LABELS + 1} others"
    counted = sum(int(cell.replace(",", "")) for row in matrix.rows for cell in row[1:])
    assert counted == 300
    assert confusions.rows[0] == ["label 00", "label 01", "8"]
    few = score_labels(predicted[:20], references[:20])
    [matrix] = confusion_reports(few.labels, few.confusion)
    assert matrix.heading == "On the validation data: confusion matrix"
