"""Temperature scaling: the fit, its error, and what a run keeps of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

from heedful.answers.calibration import (
    CALIBRATION,
    TEMPERATURES,
    calibration_error,
    fit_calibration,
    fit_temperature,
)
from heedful.config import build
from heedful.data.texts import Text, Texts
from heedful.errors import OptionError, RunError
from heedful.tasks.classify import TASK, ClassifyConfig
from heedful.training.events import Finished
from heedful.training.loop import train_model


def drawn(temperature: float, *, multi_label: bool, count: int = 20_000) -> tuple[Any, Any]:
    """Scores, and targets drawn from the probabilities of the scores divided by a temperature."""
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(count, 4, generator=generator)
    if multi_label:
        return scores, torch.bernoulli((scores / temperature).sigmoid(), generator=generator)
    rows = torch.multinomial((scores / temperature).softmax(-1), 1, generator=generator)
    return scores, F.one_hot(rows[:, 0], 4).float()


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(true: float, multi_label: bool) -> None:
    scores, targets = drawn(true, multi_label=multi_label)
    found = fit_temperature(scores, targets, multi_label=multi_label)
    assert found == pytest.approx(true, rel=0.05)
    error = calibration_error(scores, targets, multi_label=multi_label, temperature=found)
    assert error < 0.02
    if true != 1:
        assert calibration_error(scores, targets, multi_label=multi_label) > 2 * error


@pytest.mark.parametrize("multi_label", [False, True])
def test_it_is_the_minimum_that_scipy_finds(multi_label: bool) -> None:
    scores, targets = drawn(2.0, multi_label=multi_label, count=60)

    def loss(temperature: float) -> float:
        scaled = scores.double() / temperature
        if multi_label:
            return float(F.binary_cross_entropy_with_logits(scaled, targets.double()))
        return float(F.cross_entropy(scaled, targets.double()))

    wanted = minimize_scalar(loss, bounds=TEMPERATURES, method="bounded", options={"xatol": 1e-9}).x
    found = fit_temperature(scores, targets, multi_label=multi_label)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_what_has_no_best_temperature() -> None:
    scores = torch.tensor([[2.0, 0.0]] * 30)
    right, wrong = (F.one_hot(torch.full((30,), n), 2).float() for n in (0, 1))
    assert fit_temperature(scores, right, multi_label=False) is None
    assert fit_temperature(scores, wrong, multi_label=False) == TEMPERATURES[1]
    assert fit_calibration(scores, right, "text", multi_label=False)[1].startswith("every")
    few = fit_calibration(scores[:3], right[:3], "text", multi_label=False)
    assert few == (None, "there are only 3 validation texts")


def test_the_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    p = np.array([0.55, 0.58, 0.9, 0.93, 0.99])
    scores = torch.tensor(np.stack([np.log(p), np.log(1 - p)], axis=1))
    targets = F.one_hot(torch.tensor([0, 1, 0, 0, 1]), 2)
    bins: dict[int, list[float]] = {}
    for confidence, right in zip(p, [1, 0, 1, 1, 0], strict=True):
        bins.setdefault(int(confidence * 15), []).append(right - confidence)
    wanted = sum(abs(sum(gaps)) for gaps in bins.values()) / len(p)
    assert calibration_error(scores, targets, multi_label=False) == pytest.approx(wanted)


GOOD, BAD = "a good film", "a bad film"
NOISY = Texts([Text(GOOD, (("yes", "no")[n % 5 == 0],)) for n in range(60)]
              + [Text(BAD, (("no", "yes")[n % 5 == 0],)) for n in range(60)])  # fmt: skip
NEW = Texts(NOISY.rows[5:115])
SETTINGS: dict[str, dict[str, Any]] = {
    "vocabulary": {"min_frequency": 1},
    "inputs": {"word_width": 8},
    "encoder": {"kind": "none", "hidden": 8},
    "training": {"epochs": 15, "batch_tokens": 60, "learning_rate": 0.02, "warmup_steps": 2,
                 "threads": 1, "keep_freed_memory": False},
}  # fmt: skip


def trained(folder: Path, valid: Texts) -> Finished:
    config = build(ClassifyConfig, SETTINGS)
    *_, last = train_model(TASK, config, NOISY, valid, folder)
    assert isinstance(last, Finished)
    return last


def test_a_run_keeps_its_temperature_and_says_why_it_has_none(tmp_path: Path) -> None:
    assert trained(tmp_path / "run", NEW).notices == []
    model = TASK.load(tmp_path / "run")
    kept = json.loads((tmp_path / "run" / CALIBRATION).read_text(encoding="utf-8"))
    assert model.answer.temperature == kept["temperature"] != 1
    [one] = model.predict([GOOD])
    wanted = (torch.tensor(one.scores) / kept["temperature"]).softmax(-1).tolist()
    assert [*one.all_probabilities.values()] == pytest.approx(wanted)
    metrics = model.evaluate(NEW)
    assert metrics.calibration_error == pytest.approx(kept["error_after"], abs=1e-6)
    assert metrics.uncalibrated_error == pytest.approx(kept["error_before"], abs=1e-6)

    (tmp_path / "run" / CALIBRATION).write_text('{"format": "other"}')
    with pytest.raises(RunError, match=r"calibration.json is damaged"):
        TASK.load(tmp_path / "run")
    (tmp_path / "run" / CALIBRATION).unlink()
    assert TASK.load(tmp_path / "run").answer.temperature == 1

    same = trained(tmp_path / "same", NOISY)
    assert "not calibrated: the validation texts are the training texts" in same.notices[-1]
    assert not (tmp_path / "same" / CALIBRATION).exists()
    few = trained(tmp_path / "few", Texts(NOISY.rows[:4]))
    assert "not calibrated: there are only 4 validation texts" in few.notices[-1]


def test_threshold_and_top_k(tmp_path: Path) -> None:
    trained(tmp_path / "run", NEW)
    model = TASK.load(tmp_path / "run")
    [sure] = model.predict([GOOD], threshold=0.51, top_k=2)
    assert (sure.label, [label for label, _ in sure.top]) == ("yes", ["yes", "no"])
    assert dict(sure.top) == sure.all_probabilities
    [abstained] = model.predict([GOOD], threshold=0.9999)
    assert (abstained.label, abstained.labels, abstained.probabilities) == (None, (), ())
    assert abstained.all_probabilities == sure.all_probabilities
    metrics = model.evaluate(NEW, threshold=0.9999)
    assert (metrics.abstained, metrics.accuracy, metrics.answered_accuracy) == (110, 0, None)
    for search, message in (
        ({"threshold": 1.5}, "threshold is 1.5; expected a probability"),
        ({"top_k": 3}, "top_k is 3; expected 1 to 2, the number of labels"),
    ):
        with pytest.raises(OptionError, match=message):
            model.predict([GOOD], **search)
