"""Training in half precision as a person meets it on a processor that lacks the instructions."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.cli import compare_run
from heedful.nn import recurrent_precision
from heedful.training import precision
from tests.cli.conftest import in_this_process, run_command
from tests.cli.test_commands import FILES
from tests.cli.test_commands import SETS as TRANSLATOR
from tests.cli.test_compare import COMPARE, TWO
from tests.cli.test_tag import SENTENCES, TRAIN
from tests.cli.test_tag import SETS as TAGGER

HALF = ("--set", "training.precision=bf16-mixed")
SLOW = "note: training.precision is 'bf16-mixed', but this processor has no bfloat16 arithmetic"
WHOLE = "note: recurrent layers stay in float32"


@pytest.fixture
def old_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16_arithmetic", lambda: False)
    for module in (precision, recurrent_precision):
        monkeypatch.setattr(module, "runs_lstm_in", lambda dtype: False)


@pytest.fixture
def sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.conllu").write_text("".join(SENTENCES) * 6, encoding="utf-8")
    (tmp_path / "dev.conllu").write_text("".join(SENTENCES), encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("old_processor", "place")
def test_a_translator_says_it_in_a_line_each() -> None:
    sets = [*TRANSLATOR, "--set", "model.kind=lstm"]
    whole = run_command("train", "translate", *FILES, "--out", "whole", *sets)
    notes = [line for line in whole.stdout.splitlines() if line.startswith("note:")]
    assert not any("float" in line or "precision" in line for line in notes)
    ran = run_command("train", "translate", *FILES, "--out", "half", *sets, *HALF)
    assert ran.status == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert [line[: len(SLOW)] for line in lines if line.startswith(SLOW)] == [SLOW]
    assert sum(line.startswith(WHOLE) for line in lines) == 1
    assert lines.index(next(line for line in lines if line.startswith(WHOLE))) < next(
        number for number, line in enumerate(lines) if line.startswith("epoch 1")
    )


@pytest.mark.usefixtures("old_processor", "sentences")
@pytest.mark.parametrize("encoder", ["lstm", "none"])
def test_a_tagger_with_characters_read_by_an_lstm(encoder: str) -> None:
    sets = [*TAGGER, "--set", "inputs.characters=lstm", "--encoder", encoder]
    ran = run_command(*TRAIN, *sets, *HALF, "--out", "run")
    assert ran.status == 0, ran.stderr
    assert (SLOW in ran.stdout, WHOLE in ran.stdout) == (True, True)


@pytest.mark.usefixtures("old_processor", "sentences")
def test_a_comparison_says_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_run, "subprocess_runner", in_this_process)
    ran = run_command(*COMPARE, *TWO, *HALF, "--out", "report")
    assert ran.status == 0, ran.stderr
    assert ran.stdout.count(SLOW) == 1
    assert f"[1/2] none-seed-0: {SLOW}" in ran.stdout
