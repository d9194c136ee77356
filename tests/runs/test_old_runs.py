"""Run folders that earlier versions wrote give the predictions that they gave then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heedful.tasks.classifying import Classifier
from heedful.tasks.regressing import Regressor
from heedful.tasks.tagging import Tagger
from heedful.tasks.translation import Translator

FOLDER = Path(__file__).parent / "format_1"
STORED: dict[str, dict[str, Any]] = json.loads((FOLDER / "predictions.json").read_text("utf-8"))


def predicted(name: str, task: str, inputs: list[Any]) -> list[Any]:
    run = FOLDER / name
    if task == "tag":
        return [{"labels": labels} for labels in Tagger.load(run).tag(inputs)]
    if task == "classify":
        found = Classifier.load(run).answers(inputs)
        return [
            {"labels": list(a.labels), "probabilities": pytest.approx(list(a.probabilities))}
            for a in found
        ]
    if task == "regress":
        return [{"value": value} for value in Regressor.load(run).answers(inputs)]
    return [
        {"translations": [{"text": t.text, "score": pytest.approx(t.score), "tokens": list(t.tokens)} for t in each]}
        for each in Translator.load(run).translate(inputs, beam=3, nbest=2)
    ]  # fmt: skip


@pytest.mark.parametrize("name", STORED)
def test_an_old_run_predicts_as_it_did(name: str) -> None:
    stored = STORED[name]
    inputs = [each for each in stored["inputs"] if each is not None]
    wanted = [{k: v for k, v in each.items() if k != "scores"} for each in stored["predictions"][: len(inputs)]]  # fmt: skip
    got = predicted(name, stored["task"], inputs)
    if stored["task"] == "regress":
        got = [{"value": None if g["value"] is None else pytest.approx(g["value"])} for g in got]
    assert wanted == got
