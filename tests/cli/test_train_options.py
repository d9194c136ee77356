"""Options that `heedful train` has for every task, and what it says of a training before and after."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import run_command

TOKENS = "dogs NOUN\nbark VERB\n\ncats NOUN\nsleep VERB\n\n" * 6
QUIET = ("--set", "training.keep_freed_memory=false")
TRAIN = ("train", "tag", "--train", "a.conll", "--valid", "a.conll", "--encoder", "none", *QUIET)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.conll").write_text(TOKENS, encoding="utf-8")
    Path("b.conll").write_text(TOKENS + "wow INTJ\n\n" * 4, encoding="utf-8")


def test_common_options_are_settings_of_the_training() -> None:
    options = (
        "--epochs",
        "2",
        "--batch",
        "12",
        "--lr",
        "0.02",
        "--seed",
        "5",
        "--threads",
        "1",
        "--device",
        "cpu",
    )
    ran = run_command(*TRAIN, *options, "--out", "run")
    assert ran.status == 0, ran.stderr
    training = tomllib.loads(Path("run/config.toml").read_text(encoding="utf-8"))["training"]
    expected = {"epochs": 2, "batch_tokens": 12, "learning_rate": 0.02, "seed": 5, "threads": 1}
    assert {name: training[name] for name in expected} == expected
    assert training["accelerator"] == "cpu"
    assert re.search(
        r"2 epochs of 2 steps: 4 steps, of which 0 warm-up\nnote: the whole training takes 4 steps",
        ran.stdout,
    )
    ran = run_command(*TRAIN, "--epochs", "many", "--out", "other")
    assert (ran.status, "training.epochs: Input should be a valid integer" in ran.stderr) == (
        2,
        True,
    )


def test_an_unknown_option_that_is_a_setting_is_named() -> None:
    ran = run_command("train", "tag", "--label-smoothing", "0.2")
    assert ran.status == 2
    assert (
        "No such option: --label-smoothing; it is a setting: write --set training.label_smoothing=VALUE"
        in ran.stderr
    )
    assert "it is a setting" not in run_command("train", "tag", "--nonsense", "1").stderr


def test_continue_and_start_from_a_run() -> None:
    assert run_command(*TRAIN, "--epochs", "2", "--out", "run", "-q").status == 0
    ran = run_command("train", "tag", "--resume", "--out", "run")
    assert (
        ran.status,
        "there is nothing to resume. Give more epochs to continue it, as in --epochs 4"
        in ran.stderr,
    ) == (1, True)
    ran = run_command("train", "tag", "--resume", "--epochs", "3", "--out", "run")
    assert ran.status == 0, ran.stderr
    assert "resuming from step 2 of 3" in ran.stdout
    assert "epoch 3:" in ran.stdout
    new = ("--train", "b.conll", "--valid", "b.conll")
    ran = run_command("train", "tag", *new, "--init-from", "run", "--out", "more", "--epochs", "1")
    assert ran.status == 0, ran.stderr
    assert (
        "note: starts from trained weights; newly initialized: words 1, characters 1, labels 1"
        in ran.stdout
    )
    ran = run_command("train", "tag", "--init-from", "run", "--out", "third")
    assert (ran.status, "there is no training data" in ran.stderr) == (2, True)
    ran = run_command("train", "tag", "--init-from", "run", "--resume", "--out", "run")
    assert (ran.status, "give one of them" in ran.stderr) == (2, True)
