"""A training ends with its epochs, steps, tokens or seconds, and a resumed one ends where a whole one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heedful.config import build
from heedful.data.labelled import Labelled, Sentence
from heedful.tasks.sections import TrainingConfig
from heedful.tasks.tag import TASK as TAG
from heedful.tasks.tag import TaggingConfig
from heedful.training.budget import budget_exhausted, planned_steps
from heedful.training.checkpoint import Position
from heedful.training.events import Finished, Progress, Validated
from heedful.training.loop import train_model

DATA = Labelled([Sentence(("a", "saw", "b", "saw"), ("D", "N", "D", "V"))] * 10)
"""Ten sentences of four tokens; a batch takes two of them, so an epoch is five steps."""


def configuration(**training: object) -> TaggingConfig:
    values = {
        "inputs": {"word_width": 4, "characters": "none"},
        "encoder": {"kind": "none", "hidden": 4},
        "training": {
            "batch_tokens": 8, "epochs": 4, "progress_steps": 1, "threads": 1,
            "keep_freed_memory": False, **training,
        },
    }  # fmt: skip
    return build(TaggingConfig, values)


def finished(config: TaggingConfig, run: Path) -> tuple[Finished, list[Validated]]:
    events = list(train_model(TAG, config, DATA, DATA, run))
    assert isinstance(events[-1], Finished)
    return events[-1], [event for event in events if isinstance(event, Validated)]


@pytest.mark.parametrize(
    ("training", "steps", "epochs"),
    [
        ({}, 20, 4),
        ({"max_steps": 7}, 7, 2),
        ({"max_steps": 5}, 5, 1),
        ({"max_steps": 3}, 3, 1),
        ({"max_tokens": 41}, 6, 2),
        ({"max_tokens": 40}, 5, 1),
        ({"max_seconds": 1e-9}, 1, 1),
        ({"max_steps": 1000}, 20, 4),
    ],
)
def test_what_is_used_up_first_ends_it(
    tmp_path: Path, training: dict[str, object], steps: int, epochs: int
) -> None:
    last, validated = finished(configuration(**training), tmp_path / "run")
    assert (last.steps, last.epochs, last.stopped_early) == (steps, epochs, False)
    assert validated[-1].tokens == 8 * steps
    times = [event.training_seconds for event in validated]
    assert times == sorted(times)
    assert 0 < times[-1] < validated[-1].seconds


@pytest.mark.parametrize("limit", [{"max_steps": 7}, {"max_tokens": 56}], ids=str)
@pytest.mark.parametrize("stop_at", [2, 6, 7])
def test_a_resumed_training_ends_with_the_same_weights(
    tmp_path: Path, limit: dict[str, object], stop_at: int
) -> None:
    config = configuration(checkpoint_steps=1, **limit)
    finished(config, tmp_path / "whole")
    events = train_model(TAG, config, DATA, DATA, tmp_path / "parts")
    for event in events:
        if isinstance(event, Progress) and event.step == stop_at:
            break
    events.close()  # type: ignore[attr-defined]
    list(train_model(TAG, config, DATA, DATA, tmp_path / "parts", resume=True))
    name = "model.safetensors"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_learning_rate_falls_to_the_end_of_the_budget(tmp_path: Path) -> None:
    config = configuration(max_steps=10, schedule="linear", warmup_steps=2, learning_rate=1.0)
    rates = [
        event.learning_rate
        for event in train_model(TAG, config, DATA, DATA, tmp_path / "run")
        if isinstance(event, Progress)
    ]
    assert rates == sorted(rates[:1]) + sorted(rates[1:], reverse=True)
    assert rates[-1] == 0.0


def test_plans_of_seconds_are_what_the_steps_so_far_let_expect() -> None:
    options = TrainingConfig(epochs=100, max_seconds=10.0)
    assert planned_steps(options, Position(step=3, training_seconds=2.0), 50) == 15
    assert planned_steps(options, Position(), 50) == 5000
    assert not budget_exhausted(options, Position(training_seconds=9.9))


def test_the_warm_up_is_a_share_of_the_steps(tmp_path: Path) -> None:
    events = list(
        train_model(
            TAG,
            configuration(max_steps=10, schedule="constant", warmup_share=0.5, warmup_steps=None),
            DATA, DATA, tmp_path / "run",
        )
    )  # fmt: skip
    rates = [event.learning_rate for event in events if isinstance(event, Progress)]
    assert rates == pytest.approx(
        [0.2 * peak for peak in (1, 2, 3, 4, 5, 5, 5, 5, 5, 5)] * np.array(rates[-1])
    )
    assert (events[0].steps, events[0].warmup_steps) == (10, 5)
    limited = configuration(max_tokens=56)
    assert next(iter(train_model(TAG, limited, DATA, DATA, tmp_path / "other"))).steps is None


def test_a_training_too_short_for_its_warm_up_is_noticed(tmp_path: Path) -> None:
    config = configuration(max_steps=3, warmup_steps=100)
    notices = next(iter(train_model(TAG, config, DATA, DATA, tmp_path / "run"))).notices
    assert notices[0].startswith("the warm-up takes 100 steps and the whole training 3")
    assert notices[1].startswith("the whole training takes 3 steps")


def test_a_training_that_does_not_move_is_noticed(tmp_path: Path) -> None:
    still = build(
        TaggingConfig,
        {
            "inputs": {"word_width": 4, "characters": "none", "dropout": 0.0},
            "encoder": {"kind": "none", "hidden": 4, "dropout": 0.0},
            "labels": {"dropout": 0.0},
            "training": {
                "epochs": 3, "batch_tokens": 8, "learning_rate": 1e-9, "warmup_steps": 0, "threads": 1,
                "keep_freed_memory": False,
            },
        },
    )  # fmt: skip
    *_, last = train_model(TAG, still, DATA, DATA, tmp_path / "still")
    assert last.notices[0].startswith("the training loss hardly moved")
    moving = configuration(epochs=6, learning_rate=0.05, warmup_steps=0)
    *_, last = train_model(TAG, moving, DATA, DATA, tmp_path / "moving")
    assert last.notices == []
