"""`heedful probe`: tables, a picture, JSON, and one message for whatever is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import run_command

TINY = (
    "--steps", "2", "--tokens", "32", "--width", "8", "--examples", "8", "--lengths", "8,4", "--length", "8",
    "--train-lengths", "4,8", "--seconds", "0.01",
)  # fmt: skip


def test_every_measure_in_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    ran = run_command(
        *("probe", "--measure", "recall,copy,first,gradient,time,cores,order", *TINY),
        *("--encoders", "window, gru", "--out", "probe.svg"),
    )
    assert ran.status == 0, ran.stderr
    for name in ("recall", "copy", "first", "gradient", "time", "cores", "order"):
        assert re.search(rf"^{name}: .*, by ", ran.stdout, re.MULTILINE)
    assert len(re.findall(r"^gru ", ran.stdout, re.MULTILINE)) == 9
    assert ran.stdout.endswith("written: probe.svg\n")
    assert Path("probe.svg").read_text(encoding="utf-8").count("<svg") == 1


def test_json_is_the_same_for_the_same_seed() -> None:
    command = ("probe", "--measure", "recall,gradient,order", *TINY, "--encoders", "lstm", "--json")
    one, same, other = (
        run_command(*command, "--seed", seed).stdout.splitlines()[-1] for seed in ("0", "0", "1")
    )
    assert one == same
    assert one != other
    told = json.loads(one)
    assert told["settings"]["lengths"] == [4, 8]
    assert [(curve["measure"], curve["variant"]) for curve in told["curves"]] == [
        ("recall", ""), ("gradient", "fresh"), ("gradient", "trained"), ("order", ""),
    ]  # fmt: skip
    assert [x for x, _ in told["curves"][0]["points"]] == [3, 7]


def test_each_length_trained_for_and_quiet() -> None:
    ran = run_command(
        *("probe", *TINY, "--measure", "recall", "--train-lengths", "each", "--encoders", "none"),
        *("--seeds", "2", "-q"),
    )
    assert ran.status == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 3


BAD = [
    (("--encoders", "lsmt"), 2, r"unknown encoder 'lsmt'; did you mean 'lstm'\?"),
    (("--encoders", ","), 2, r"name an encoder: none,window"),
    (("--encoders", "transformer:headz=2"), 2, r"did you mean 'heads'"),
    (("--encoders", "transformer:heads=3"), 2, r"heads = 3 does not divide width = 32"),
    (("--measure", "recal"), 2, r"unknown measure 'recal'; did you mean 'recall'\?"),
    (("--measure", ""), 2, r"name a measure: recall"),
    (("--lengths", "8,x"), 2, r"--lengths: expected positive integers.*got .8,x"),
    (("--lengths", "2"), 2, r"lengths = 2: 4 or more"),
    (("--train-lengths", ""), 2, r"--train-lengths: expected positive integers"),
    (("--length", "1"), 2, r"--length"),
    (("--width", "0"), 2, r"--width"),
    (("--threads", "100000"), 2, r"--threads 100000: this machine has"),
    (("--out", "plot.gif"), 2, r"plot\.gif ends in '\.gif'; a plot is a \.png or"),
    (("--out", "old.svg"), 1, r"old\.svg exists; --overwrite replaces it"),
]


@pytest.mark.parametrize(("args", "status", "message"), BAD, ids=lambda each: str(each)[:40])
def test_bad_input(
    args: tuple[str, ...],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.svg").write_text("kept", encoding="utf-8")
    ran = run_command("probe", *args)
    assert (ran.status, ran.stdout) == (status, "")
    assert re.search(message, ran.stderr), ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["old.svg"]
