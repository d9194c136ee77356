"""What `heedful train` shows while it prepares, and what it says of a sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.cli.output import Output
from heedful.cli.progress import TrainingProgress
from heedful.config import build
from heedful.data.files import Pairs
from heedful.data.preparation import Preparing
from heedful.inputs.pieces import VocabularyConfig, sample_rows
from heedful.tasks.table import TASKS
from heedful.tasks.translate import TASK, TranslationConfig
from heedful.training.events import Started
from heedful.training.loop import train_model

HALF = Preparing(action="encoding", unit="texts", done=1_500_000, total=3_000_000, seconds=60.0)


WORDS = [f"{first}{second}" for first in "abcdefgh" for second in "klmno"]
"""Forty words of letters: digits are tokens of their own."""


def shown(events: list[Preparing], *, quiet: bool = False, json: bool = False) -> None:
    with TrainingProgress(TASKS["translate"], Output(json=json, quiet=quiet)) as progress:
        for event in events:
            progress.show(event)


def test_rate_and_time_left_are_told_at_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    reading = Preparing(action="reading a.en", unit="lines", done=300, total=None, seconds=2.0)
    shown([HALF, HALF])
    shown([reading])
    assert capsys.readouterr().out.splitlines() == [
        "encoding: 1,500,000/3,000,000 texts, 25,000/s, 1:00 left",
        "reading a.en: 300 lines, 150/s",
    ]


def test_quiet_and_json_keep_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    shown([HALF], quiet=True)
    assert capsys.readouterr() == ("", "")
    shown([HALF], json=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("encoding: 1,500,000/3,000,000 texts")


def test_the_bar_shows_the_preparation_and_then_the_epochs() -> None:
    with TrainingProgress(TASKS["translate"], Output(json=False, quiet=True)) as progress:
        [task] = progress.bar.tasks
        progress.show(HALF)
        assert (task.completed, task.total) == (1_500_000, 3_000_000)
        assert task.fields == {"what": "encoding", "state": "texts, 25,000/s, 1:00 left"}
        progress.show(
            Started(
                run=Path("run"), parameters=1, sizes={}, train_examples=9, left_out=0, valid_examples=1, epochs=3,
                steps_per_epoch=5, steps=15, warmup_steps=1, first_step=0, notices=[],
            )
        )  # fmt: skip
        assert (task.completed, task.total) == (0, 15)
        assert task.fields == {"what": "epoch 1/3", "state": ""}


def test_the_vocabulary_is_learned_from_a_stated_sample(tmp_path: Path) -> None:
    data, valid = Pairs(WORDS, WORDS), Pairs(WORDS[:2], WORDS[:2])
    values = {
        "model": {"kind": "gru", "embedding": 8, "hidden": 8},
        "vocabulary": {"kind": "word", "min_frequency": 1, "sample": 10},
        "training": {"epochs": 1, "keep_freed_memory": False},
    }
    config = build(TranslationConfig, values)
    events = train_model(TASK, config, data, valid, tmp_path / "run")
    started = next(events)
    assert isinstance(started, Started)
    assert started.sizes == {"source vocabulary": 14, "target vocabulary": 14}
    assert started.notices[0] == (
        "the vocabulary is learned from a random sample of 10 of 40 training pairs; to use more, set "
        "vocabulary.sample"
    )
    events.close()


def test_the_sample_is_always_the_same_and_both_sides_are_of_the_same_pairs() -> None:
    options = VocabularyConfig(kind="word", min_frequency=1, sample=5)
    once, again = (options.train(WORDS, [word.upper() for word in WORDS]) for _ in range(2))
    assert once == again
    assert {piece.lower() for piece in once.learned} == {p for p in once.learned if p.islower()}
    assert len(once.learned) == 10
    rows = sample_rows(40, 5)
    assert rows is not None
    assert sorted(set(rows.tolist())) == rows.tolist()
    whole = VocabularyConfig(kind="word", min_frequency=1)
    assert options.train(WORDS[:5]) == whole.train(WORDS[:5])
