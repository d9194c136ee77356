"""Intervals around predicted numbers: how often they hold the truth, their file, and who writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.answers.intervals import INTERVALS, MOST_KEPT, Intervals, TargetIntervals
from heedful.errors import OptionError, RunError
from tests.cli.conftest import run_command

SMALL: dict[str, Any] = {
    "encoder": {"kind": "none", "hidden": 4},
    "inputs": {"word_width": 4, "characters": "none"},
    "vocabulary": {"min_frequency": 1},
    "training": {"epochs": 2, "threads": 1, "keep_freed_memory": False},
}


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    draw = np.random.default_rng(seed)
    return [{"text": f"a {'b ' * int(n)}", "target": float(n)} for n in draw.integers(1, 9, count)]


@pytest.mark.parametrize("count", [50, 3 * MOST_KEPT + 7])
@pytest.mark.parametrize("has_members", [False, True])
def test_intervals_hold_the_truth_as_often_as_they_say(count: int, has_members: bool) -> None:
    draw = np.random.default_rng(1)
    held = []
    for _ in range(40 if count == 50 else 3):
        scale = draw.exponential(size=(2, count, 1)) if has_members else np.zeros((2, count, 1))
        errors = draw.normal(size=(2, count, 1)) * (scale + 0.1)
        fitted = Intervals.fit(np.zeros((count, 1)), errors[0], scale[0])
        assert fitted is not None
        assert len(fitted.targets[0].residuals) <= MOST_KEPT
        held.append(np.abs(errors[1]) <= fitted.half_widths(0.9, scale[1]))
    assert 0.89 < np.mean(held) < 0.935


def test_a_level_that_the_examples_cannot_give() -> None:
    few = TargetIntervals.fit(np.arange(20.0), np.zeros(20))
    assert few.half_width(0.95, np.zeros(1)) == [19.0]
    for level in (0.99, 0.0, 1.0, -1.0):
        with pytest.raises(OptionError, match="the run has 20 validation examples, enough for"):
            few.half_width(level, np.zeros(1))
    assert Intervals.fit(np.zeros((19, 1)), np.ones((19, 1)), np.zeros((19, 1))) is None


@pytest.mark.parametrize("members", [1, 2])
def test_by_command_and_in_python(tmp_path: Path, members: int) -> None:
    run = tmp_path / "run"
    model = heedful.train(
        "regress",
        train=rows(60),
        valid=rows(40, 1),
        out=run,
        ensemble={"members": members},
        **SMALL,
    )
    again = heedful.load(run)
    [prediction] = again.predict(["a b b"])
    [(low, high)] = again.predictor.answer.interval(prediction, 0.9)
    assert low < prediction.value < high
    assert len(prediction.deviations) == (members > 1)
    scores = model.evaluate(rows(200, 2))
    assert 0.75 < scores.coverage <= 1
    assert scores.interval_width > 0
    table = tmp_path / "new.csv"
    table.write_text("text\na b b\n", encoding="utf-8")
    ran = run_command("predict", str(run), str(table), "--interval", "0.9")
    assert ran.status == 0, ran.stderr
    header, row = ran.stdout.splitlines()
    assert header == "text,predicted,predicted_low,predicted_high"
    assert float(row.split(",")[2]) == pytest.approx(low, rel=1e-4)
    ran = run_command("predict", str(run), str(table), "--interval", "0.9", "--json")
    assert json.loads(ran.stdout.splitlines()[0])["interval"] == pytest.approx(
        [low, high], rel=1e-4
    )
    ran = run_command("predict", str(run), str(table), "--interval", "0.999")
    assert "the run has 40 validation examples, enough for levels above 0 up to 0.976" in ran.stderr


def test_a_run_without_intervals(tmp_path: Path) -> None:
    model = heedful.train(
        "regress", train=rows(30), valid=rows(9, 1), out=tmp_path / "run", **SMALL
    )
    assert not (tmp_path / "run" / INTERVALS).exists()
    assert model.evaluate(rows(30)).coverage is None
    [prediction] = model.predict(["a b"])
    with pytest.raises(OptionError, match="this run has no intervals"):
        model.predictor.answer.interval(prediction, 0.9)


@pytest.mark.parametrize(
    "targets",
    [
        [],
        [{"count": 20, "floor": 1.0, "residuals": [2.0, 1.0]}],
        [{"count": 20, "floor": -1.0, "residuals": [1.0]}],
        [{"count": 1, "floor": 1.0, "residuals": [1.0, 2.0]}],
        [{"count": 20, "floor": 1.0, "residuals": [None]}],
        [{"count": 20, "floor": 1.0}],
        3,
    ],
)
def test_a_damaged_file(tmp_path: Path, targets: Any) -> None:
    content = {"format": "heedful intervals 1", "targets": targets}
    (tmp_path / INTERVALS).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match=r"intervals\.json is damaged"):
        Intervals.load(tmp_path, 1)
