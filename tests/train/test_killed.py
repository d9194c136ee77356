"""Killed at any moment, without a chance to clean up, a training goes on to the very same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heedful.data.builtin.dates import build
from heedful.errors import RunError
from heedful.run_folder import read_metadata
from heedful.training.checkpoint import Position, read_position

SETTINGS = (
    "model.embedding=8",
    "model.hidden=8",
    "vocabulary.kind=char",
    "training.epochs=1",
    "training.batch_tokens=60",
    "training.checkpoint_steps=1",
    "training.threads=1",
    "training.metric=loss",
)


def command(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "heedful", "train", "translate", "--quiet", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def position(run: Path) -> Position | None:
    try:
        return read_position(read_metadata(run / "checkpoints" / "state.safetensors"))
    except RunError:  # not written yet
        return None


def kill_within_an_epoch(process: subprocess.Popen[bytes], run: Path, step: int) -> None:
    """Send SIGKILL at whatever the process is doing once its checkpoint is past `step`."""
    while (here := position(run)) is None or here.step < step:
        assert process.poll() is None, f"the training ended before step {step}"
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    here = position(run)
    assert here is not None
    assert here.batch > 0


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill so")
def test_a_training_killed_twice_ends_with_the_same_bytes(tmp_path):
    corpus = build(train_size=60, valid_size=2, test_size=1)
    for name, texts in (
        ("train.src", corpus.train.source),
        ("train.tgt", corpus.train.target),
        ("valid.src", corpus.valid.source),
        ("valid.tgt", corpus.valid.target),
    ):
        (tmp_path / name).write_text("\n".join(texts) + "\n", encoding="utf-8")
    data = ["--train", "train.src", "train.tgt", "--valid", "valid.src", "valid.tgt", "--model=gru"]
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    assert command(tmp_path, *data, *settings, "--out", "whole").wait() == 0
    lines = len((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines())

    run = tmp_path / "killed"
    kill_within_an_epoch(command(tmp_path, *data, *settings, "--out", "killed"), run, step=3)
    kill_within_an_epoch(command(tmp_path, "--resume", "--out", "killed"), run, step=15)
    assert command(tmp_path, "--resume", "--out", "killed").wait() == 0
    for name in ("model.safetensors", "config.toml", "source_vocabulary.json"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == lines
