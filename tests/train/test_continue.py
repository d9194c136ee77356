"""A finished run goes on with more epochs, and a new one starts from its weights with new words and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import heedful
from heedful.answers.calibration import CALIBRATION
from heedful.answers.class_weights import CLASS_WEIGHTS
from heedful.errors import OptionError, RunError
from heedful.run_folder import read_tensors

SENTENCES = [
    {"tokens": ["a", "saw"], "tags": ["DET", "NOUN"]},
    {"tokens": ["saw"], "tags": ["VERB"]},
] * 4
NEW_SENTENCES = [*SENTENCES, *[{"tokens": ["wow", "ß"], "tags": ["INTJ", "X"]}] * 4]
TEXTS = [{"text": "good film", "label": "yes"}, {"text": "bad film", "label": "no"}] * 6
NEW_TEXTS = [*TEXTS, *[{"text": "dull play", "label": "unsure"}] * 6]
NUMBERS = [{"text": "good", "target": 5}, {"text": "bad", "target": 1.5}] * 6
PAIRS = [{"source": "ein Hund", "target": "a dog"}, {"source": "eine Katze", "target": "a cat"}] * 4
TRAINING = {"epochs": 2, "batch_tokens": 8, "threads": 1, "keep_freed_memory": False}
SMALL: dict[str, Any] = {
    "encoder": "window",
    "vocabulary": {"min_frequency": 1},
    "inputs": {"word_width": 8},
    "training": TRAINING,
}
TRANSLATOR: dict[str, Any] = {
    "model": {"kind": "gru", "embedding": 8, "hidden": 8},
    "vocabulary": {"kind": "char"},
    "training": TRAINING,
}


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def train(task: str, rows: Any, out: Path, **settings: Any) -> Any:
    return heedful.train(task, train=rows, valid=rows, out=out, **settings)


def test_a_finished_run_is_continued(tmp_path: Path) -> None:
    train("tag", SENTENCES, tmp_path / "run", **SMALL)
    before = metrics(tmp_path / "run")
    with pytest.raises(
        RunError, match="has finished; there is nothing to resume. Give more epochs"
    ):
        train("tag", SENTENCES, tmp_path / "run", resume=True, **SMALL)
    longer = {**SMALL, "training": {**TRAINING, "epochs": 5}}
    model = train("tag", SENTENCES, tmp_path / "run", resume=True, **longer)
    after = metrics(tmp_path / "run")
    assert after[:2] == before[:2]
    assert [line["epoch"] for line in after[:-1]] == [1, 2, 3, 4, 5]
    assert after[-1]["steps"] == 5 * before[-1]["steps"] / 2
    assert model.config.training.epochs == 5
    assert not (tmp_path / "run" / "checkpoints").exists()
    # The best weights before count: what follows is kept only if it is better.
    assert after[-1]["scores"]["accuracy"] >= before[-1]["scores"]["accuracy"]


def test_other_settings_are_named(tmp_path: Path) -> None:
    train("tag", SENTENCES, tmp_path / "run", **SMALL)
    other = {**SMALL, "inputs": {"word_width": 9}, "training": {**TRAINING, "epochs": 3}}
    with pytest.raises(
        RunError, match=r"differ from .*: inputs.word_width: 8 -> 9\. Resume"
    ) as told:
        train("tag", SENTENCES, tmp_path / "run", resume=True, **other)
    assert "epochs" not in str(told.value)


def events_of(task: str, rows: Any, out: Path, **settings: Any) -> tuple[Any, list[Any]]:
    events: list[Any] = []
    return train(task, rows, out, progress=events.append, **settings), events


def test_a_tagger_starts_from_another_with_new_words_and_labels(tmp_path: Path) -> None:
    first = train("tag", SENTENCES, tmp_path / "first", **SMALL)
    still = {"training": {"learning_rate": 1e-12, "average_epochs": 1}}
    second, events = events_of(
        "tag", NEW_SENTENCES, tmp_path / "second", init_from=first.run, **still
    )
    assert (
        events[0].notices[0].startswith("starts from trained weights; newly initialized: words 2")
    )
    assert "labels 2" in events[0].notices[0]
    assert second.labels[: len(first.labels)] == first.labels
    assert set(second.labels) == {"DET", "NOUN", "VERB", "INTJ", "X"}
    old, _ = read_tensors(tmp_path / "first" / "model.safetensors")
    new, _ = read_tensors(tmp_path / "second" / "model.safetensors")
    grown = 0
    for name, tensor in old.items():
        part = new[name][tuple(slice(size) for size in tensor.shape)]
        torch.testing.assert_close(part, tensor, msg=name)
        grown += new[name].shape != tensor.shape
    assert grown >= 3
    assert second.config.data.train == ()


def test_a_classifier_learns_a_new_label(tmp_path: Path) -> None:
    first = train("classify", TEXTS, tmp_path / "first", **SMALL)
    more = {"training": {**TRAINING, "epochs": 40, "learning_rate": 0.02}}
    second, events = events_of(
        "classify", NEW_TEXTS, tmp_path / "second", init_from=first.run, **more
    )
    assert "tokens 2, labels 1" in events[0].notices[0]
    assert [each.label for each in second.predict(["dull play", "good film"])] == ["unsure", "yes"]


@pytest.mark.parametrize(("task", "rows"), [("regress", NUMBERS), ("translate", PAIRS)])
def test_other_tasks_start_from_a_run(task: str, rows: Any, tmp_path: Path) -> None:
    settings = TRANSLATOR if task == "translate" else SMALL
    train(task, rows, tmp_path / "first", **settings)
    _, events = events_of(task, rows, tmp_path / "second", init_from=tmp_path / "first")
    assert events[0].notices[0].endswith("newly initialized: nothing")
    losses = [
        next(line["train_loss"] for line in metrics(tmp_path / name))
        for name in ("first", "second")
    ]
    assert losses[1] < losses[0]


def test_a_wider_model_is_refused(tmp_path: Path) -> None:
    train("tag", SENTENCES, tmp_path / "first", **SMALL)
    with pytest.raises(RunError, match="describes another model than the initial run"):
        train(
            "tag", NEW_SENTENCES, tmp_path / "second", init_from=tmp_path / "first",
            inputs={"word_width": 16},
        )  # fmt: skip
    assert not (tmp_path / "second").exists()


def test_vectors_cannot_be_added_to_a_run(tmp_path: Path) -> None:
    train("tag", SENTENCES, tmp_path / "first", **SMALL)
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("a 1 2\nsaw 3 4\n", encoding="utf-8")
    with pytest.raises(OptionError, match="vectors, which cannot be added"):
        train(
            "tag", SENTENCES, tmp_path / "second", init_from=tmp_path / "first",
            inputs={"vectors": str(vectors)},
        )  # fmt: skip
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("other", ["overwrite", "init_from"])
def test_ways_to_start_that_exclude_each_other_are_refused(other: str, tmp_path: Path) -> None:
    model = train("tag", SENTENCES, tmp_path / "run", **SMALL)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    value = True if other == "overwrite" else model.run
    longer = {**SMALL, "training": {**TRAINING, "epochs": 3}}
    with pytest.raises(OptionError, match="give one of them"):
        train("tag", SENTENCES, tmp_path / "run", resume=True, **{other: value}, **longer)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    train("tag", SENTENCES, tmp_path / "first", **SMALL)
    with pytest.raises(RunError, match="describes another model than the initial run"):
        train(
            "tag", SENTENCES, tmp_path / "second", init_from=tmp_path / "first",
            inputs={"word_width": 4},
        )  # fmt: skip
    assert not (tmp_path / "second").exists()
    with pytest.raises(RunError, match="is a run of the task 'tag'"):
        train("classify", TEXTS, tmp_path / "second", init_from=tmp_path / "first")


UNEVEN = [{"text": f"{text} {n}", "label": label} for n in range(12)
          for text, label in (("good film", "yes"), ("bad film", "no"), ("dull film", "no"))]  # fmt: skip
HELD_OUT = [{"text": text, "label": label} for text, label in (
    ("good film", "yes"), ("bad film", "no"), ("good film", "no"), ("dull film", "no"))] * 6  # fmt: skip


def weights_in(run: Path) -> dict[str, float]:
    content = json.loads((run / CLASS_WEIGHTS).read_text("utf-8"))
    return dict(zip(content["labels"], content["weights"][0], strict=True))


def test_class_weights_and_temperature_are_of_the_own_data(tmp_path: Path) -> None:
    def fit(rows: Any, out: str, **settings: Any) -> Any:
        return heedful.train("classify", train=rows, valid=HELD_OUT, out=tmp_path / out, **settings)

    first = fit(UNEVEN, "first", **SMALL, class_weights="balanced")
    assert weights_in(first.run) == pytest.approx({"no": 0.75, "yes": 1.5})
    first_temperature = json.loads((first.run / CALIBRATION).read_text("utf-8"))
    # Turned around, with a new label; the ids of the labels are those of the first run.
    turned = {"yes": "no", "no": "yes"}
    rows = [{**row, "label": turned[row["label"]]} for row in UNEVEN]
    rows += [{"text": f"odd play {n}", "label": "unsure"} for n in range(36)]
    second = fit(rows, "second", init_from=first.run)
    assert second.labels == ("no", "yes", "unsure")
    assert weights_in(second.run) == pytest.approx({"no": 2.0, "yes": 1.0, "unsure": 2 / 3})
    second_temperature = json.loads((second.run / CALIBRATION).read_text("utf-8"))
    assert second_temperature["temperature"] != first_temperature["temperature"]
    plain = fit(UNEVEN, "plain", init_from=first.run, class_weights="none")
    assert not (plain.run / CLASS_WEIGHTS).exists()


def test_a_continued_run_may_have_other_class_weights(tmp_path: Path) -> None:
    def fit(valid: Any, epochs: int, weighting: str, **options: Any) -> Any:
        settings = {**SMALL, "training": {**TRAINING, "epochs": epochs}}
        return heedful.train(
            "classify", train=UNEVEN, valid=valid, out=tmp_path / "run", class_weights=weighting,
            **settings, **options,
        )  # fmt: skip

    run = fit(HELD_OUT, 2, "none").run
    assert (run / CALIBRATION).exists()
    assert not (run / CLASS_WEIGHTS).exists()
    continued = fit(HELD_OUT, 4, "balanced", resume=True)
    assert weights_in(run) == pytest.approx({"no": 0.75, "yes": 1.5})
    fitted = json.loads((run / CALIBRATION).read_text("utf-8"))["temperature"]
    assert continued.predictor.answer.temperature == fitted
    # Too few texts to calibrate: the temperature of before is not that of these weights.
    assert fit(HELD_OUT[:8], 6, "none", resume=True).predictor.answer.temperature == 1
    assert not (run / CALIBRATION).exists()
    assert not (run / CLASS_WEIGHTS).exists()
