"""Trainings in float64: inputs, losses and predictions of every task are computed in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import heedful
from heedful import run_folder
from heedful.compare.plan import merge
from heedful.models.moving import moved_to_model
from heedful.tasks.table import TASKS
from heedful.training.events import Finished
from heedful.training.loop import train_model
from tests.compare.conftest import case_of


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_trained_in_float64(task: str, tmp_path: Path) -> None:
    case = case_of(task)
    sections = merge(case.base, {"training": {"precision": "64-true", "epochs": 1}})
    if task == "transcribe":
        sections = merge(sections, {"decoder": {"kind": "gru"}})
    config = TASKS[task].configuration.model_validate(sections)
    *_, last = train_model(TASKS[task], config, case.data, case.data, tmp_path / "run")
    assert isinstance(last, Finished)
    weights, _ = run_folder.read_tensors(tmp_path / "run" / run_folder.WEIGHTS)
    assert {each.dtype for each in weights.values() if each.is_floating_point()} == {torch.float64}
    predictor = heedful.load(tmp_path / "run").predictor
    assert len(list(predictor.predict(list(case.data.inputs)[:2]))) == 2


def test_what_is_no_tensor_stays() -> None:
    model = torch.nn.Linear(1, 1).double()
    numbers, *others = moved_to_model([torch.ones(1), None, 3, "a", (torch.tensor([1]),)], model)
    assert numbers.dtype == torch.float64
    assert others == [None, 3, "a", (torch.tensor([1]),)]
