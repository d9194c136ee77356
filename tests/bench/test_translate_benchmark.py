"""The benchmark of training: both contenders take steps on the same batches."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from benchmarks import translate


@pytest.fixture
def options(tmp_path: Path) -> argparse.Namespace:
    words = ["a", "dog", "runs", "in", "the", "green", "park", "near", "two", "old", "houses"]
    for name in ("source", "target"):
        lines = [" ".join(words[i % 5 : i % 5 + 3 + i % 4]) for i in range(40)]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return argparse.Namespace(
        source=tmp_path / "source",
        target=tmp_path / "target",
        pairs=30,
        vocabulary=60,
        dropout=0.1,
        batch_tokens=60,
        threads=1,
        precision="32-true",
        measure="plain",
    )


def test_both_learn_from_the_same_batches(options: argparse.Namespace, tmp_path: Path) -> None:
    trained = translate.training(options, tmp_path / "run")
    assert len(trained.train_data) == 30
    share = next(trained._shares())
    plain = translate.plain_step(trained, options)
    losses = [plain(share) for _ in range(12)]
    assert losses[-1] < losses[0]
    take = translate.heedful_step(trained)
    first = take(share)
    assert first.predictions == trained.loss.count_tokens(share.batch)
    losses = [take(share).loss for _ in range(12)]
    assert losses[-1] < first.loss


def test_a_file_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a\n")
    monkeypatch.setattr(sys, "argv", ["translate", str(tmp_path / "a"), "missing.de"])
    with pytest.raises(SystemExit):
        translate.main()
    assert "missing.de is no file; give two line-aligned files" in capsys.readouterr().err
