"""Run folders that earlier versions wrote give the predictions that they gave then."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful import run_folder
from heedful.data.labelled import Labelled, Sentence
from heedful.errors import RunError
from heedful.tasks.alignment import align_words
from heedful.tasks.table import TASKS
from heedful.training.events import Validated
from heedful.training.loop import train_model

FOLDER = Path(__file__).parent / "format_1"
STORED: dict[str, dict[str, Any]] = json.loads((FOLDER / "predictions.json").read_text("utf-8"))


def predicted(name: str, task: str, inputs: list[Any]) -> list[dict[str, Any]]:
    """Predict with a stored run, and write the predictions as they are stored."""
    found = TASKS[task].load(FOLDER / name)
    # older versions searched without a limit of repetition
    search = {"beam": 3, "nbest": 2, "max_repetition": 0} if task == "translate" else {}
    predictions = list(found.predict(inputs, **search))
    if task == "tag":
        return [{"labels": list(each.labels)} for each in predictions]
    if task == "classify":
        return [
            {"labels": list(each.labels), "probabilities": list(each.probabilities)}
            for each in predictions
        ]
    if task == "regress":
        return [{"value": each.value} for each in predictions]
    return [
        {"translations": [asdict(one) | {"tokens": list(one.tokens)} for one in each]}
        for each in predictions
    ]


def close(value: Any) -> Any:
    """Compare numbers within rounding, everything else exactly."""
    if isinstance(value, dict):
        return {key: close(each) for key, each in value.items()}
    if isinstance(value, list):
        return [close(each) for each in value]
    return pytest.approx(value, rel=1e-5) if isinstance(value, float) else value


@pytest.mark.parametrize("name", STORED)
def test_an_old_run_predicts_as_it_did(name: str) -> None:
    stored = STORED[name]
    inputs = [each for each in stored["inputs"] if each is not None]
    wanted = [
        {key: value for key, value in each.items() if key != "scores"}
        for each in stored["predictions"][: len(inputs)]
    ]
    assert predicted(name, stored["task"], inputs) == close(wanted)


@pytest.mark.parametrize("name", [name for name in STORED if STORED[name]["task"] == "tag"])
def test_an_old_tagger_scores_labels_as_it_did(name: str) -> None:
    tagger = TASKS["tag"].load(FOLDER / name)
    for tokens, each in zip(STORED[name]["inputs"], STORED[name]["predictions"], strict=True):
        batch = tagger.input.collate(tagger.input.encode([tokens]))
        scores = tagger.model(batch)[0]
        torch.testing.assert_close(scores, torch.tensor(each["scores"]))


@pytest.mark.parametrize("name", ["translate-gru", "translate-transformer"])
def test_an_old_translator_aligns_as_it_did(name: str) -> None:
    stored = STORED[name]["predictions"][-1]
    found = align_words(TASKS["translate"].load(FOLDER / name), "ein Hund", "a dog")
    assert found.method == stored["method"]
    torch.testing.assert_close(torch.tensor(found.weights), torch.tensor(stored["alignment"]))


@pytest.mark.parametrize("name", STORED)
def test_an_old_run_has_a_format_that_is_read(name: str) -> None:
    assert run_folder.read_format(FOLDER / name) == 1 < run_folder.FORMAT


def test_an_unfinished_old_run_says_how_to_end_it(tmp_path: Path) -> None:
    task, run = TASKS["tag"], tmp_path / "run"
    data = Labelled([Sentence(("a", "b"), ("X", "Y"))] * 4)
    training = {"epochs": 2, "keep_freed_memory": False}
    values = {"encoder": {"kind": "none", "hidden": 4}, "training": training}
    config = task.configuration.model_validate(values)
    for event in train_model(task, config, data, data, run):
        if isinstance(event, Validated):
            break
    (run / "heedful.json").write_text('{"task": "tag", "format": 1}')
    with pytest.raises(RunError, match="begun by an older Heedful; finish it with that version"):
        train_model(task, config, data, data, run, resume=True)


def test_a_newer_run_names_the_formats_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "heedful.json").write_text('{"task": "tag", "format": 99}')
    with pytest.raises(
        RunError, match="has format 99, but this version of Heedful reads formats 1 to 2"
    ):
        TASKS["tag"].load(tmp_path)
