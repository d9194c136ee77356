"""Networks that answer together: each learns alone, and what they say is averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.answers.label import Labels
from heedful.config import build
from heedful.explore.predicted import record_prediction
from heedful.models.model import Ensemble
from heedful.tasks.base import LossModule, TrainingBatch
from heedful.tasks.classify import TASK as CLASSIFY
from heedful.tasks.classify import ClassifyConfig
from heedful.tasks.regress import RegressConfig
from heedful.training.events import Progress
from heedful.training.loop import train_model
from tests.tasks.test_texts import DATA, NUMBERS, VALID, VECTORS, classifier, settings, trained

THREE = {"members": 3}


def test_the_answer_is_the_mean_of_networks_that_differ(tmp_path: Path) -> None:
    config = classifier("gru", ensemble=THREE, training={"epochs": 10})
    found, scores = trained(tmp_path / "run", config)
    assert scores["accuracy"] == 1.0
    again = CLASSIFY.load(tmp_path / "run")
    assert isinstance(again.model, Ensemble)
    tokens = again.input.collate(again.input.encode(["the good film"]))
    with torch.inference_mode():
        said = [member(tokens) for member in again.model.members]
        mean = again.model(tokens)
    torch.testing.assert_close(mean, sum(said) / 3)
    assert not torch.allclose(said[0], said[1])
    [found_again] = again.predict(["the good film"])
    chances = torch.tensor(list(found_again.all_probabilities.values()))
    torch.testing.assert_close(chances, mean[0].softmax(-1))
    frequencies = [member.frequency.shares for member in again.model.members]
    assert all(float(each.sum()) == pytest.approx(1) for each in frequencies)
    assert found.model.state_dict().keys() == again.model.state_dict().keys()


def test_each_network_learns_from_its_own_answers() -> None:
    inputs = {"dropout": 0.0, "word_dropout": 0.0}
    values = {**settings(ensemble=THREE, inputs=inputs), "encoder": {"kind": "ngrams", "hidden": 8}}
    together = CLASSIFY.learn(build(ClassifyConfig, values), DATA)
    tokens = together.input.collate(together.input.encode(["the good film", "bad"]))
    batch = TrainingBatch(tokens, torch.tensor([[0.0], [1.0]]))
    LossModule(together.model, together.answer).train()(batch).backward()
    for member in together.model.members:
        shared = [p.grad.clone() for p in member.parameters()]
        member.zero_grad()
        LossModule(member, together.answer).train()(batch).backward()
        for got, alone in zip(shared, member.parameters(), strict=True):
            torch.testing.assert_close(3 * got, alone.grad)


@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_what_they_look_at_is_shown_of_each(kind: str) -> None:
    model = CLASSIFY.learn(classifier(kind, ensemble=THREE), DATA)
    records = record_prediction(model, "the good film", Labels(("yes",)))
    pooling = [each for each in records if each.kind == "pooling"]
    assert [each.layer for each in pooling] == [0, 1, 2]
    assert len({each.module_path for each in pooling}) == 3
    if kind == "gru":
        np.testing.assert_allclose(records[-1].weights.sum(), 1, atol=1e-5)


def test_numbers_and_vectors(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text(VECTORS, encoding="utf-8")
    values = settings(ensemble=THREE, inputs={"word_width": 4, "vectors": str(path)})
    model, scores = trained(tmp_path / "run", build(RegressConfig, values), NUMBERS)
    assert np.isfinite(scores["rmse"])
    first, *others = (member.inputs.vectors.weight for member in model.model.members)
    assert all(torch.equal(first, each) for each in others)


def test_a_resumed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    config = classifier(ensemble=THREE, inputs={"dropout": 0.3}, training={"checkpoint_steps": 2})
    list(train_model(CLASSIFY, config, DATA, VALID, tmp_path / "whole"))
    events = train_model(CLASSIFY, config, DATA, VALID, tmp_path / "part")
    for event in events:
        if isinstance(event, Progress) and event.step == 5:
            break
    events.close()
    list(train_model(CLASSIFY, config, DATA, VALID, tmp_path / "part", resume=True))
    name = "model.safetensors"
    assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
