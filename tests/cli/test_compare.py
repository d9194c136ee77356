"""`heedful compare` as a person meets it; the trainings run in this process but for one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heedful.cli import compare_run
from heedful.compare.plan import Job, Plan
from heedful.errors import RunError
from tests.cli.conftest import in_this_process, run_command, snapshot
from tests.cli.test_tag import SENTENCES, SETS

COMPARE = ("compare", "tag", "--train", "train.conllu", "--valid", "dev.conllu", *SETS)
TWO = ("--encoders", "none,window", "--seeds", "1", "--budget", "steps=2", "--lengths", "2,4")
FILE = """\
[compare]
task = "tag"
seeds = 1
budget = "steps=2"
lengths = [3]

[data]
train = ["train.conllu"]
valid = ["dev.conllu"]

[inputs]
word_width = 8
characters = "none"

[training]
batch_tokens = 20
keep_freed_memory = false

[contenders.small.encoder]
kind = "none"
hidden = 4

[contenders.large.encoder]
kind = "none"
hidden = 8
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.conllu").write_text("".join(SENTENCES) * 6, encoding="utf-8")
    (tmp_path / "dev.conllu").write_text("".join(SENTENCES), encoding="utf-8")
    (tmp_path / "compare.toml").write_text(FILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def but_for_lstm(plan: Plan) -> Any:
    """Do the jobs here, except that an LSTM fails."""

    def run(job: Job, folder: Path) -> Iterator[Any]:
        if job.contender == "lstm":
            raise RunError("no memory for this one")
        yield from in_this_process(plan)(job, folder)

    return run


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_run, "subprocess_runner", but_for_lstm)


def test_a_comparison_in_processes_of_its_own(place: Path) -> None:
    ran = run_command(*COMPARE, *TWO, "--out", "report", "--json")
    assert ran.status == 0, ran.stderr
    values = json.loads(ran.stdout)
    assert [run["error"] for run in values["runs"]] == [None, None]
    assert all(set(run["latency"]) == {"2", "4"} for run in values["runs"])
    assert {path.name for path in (place / "report").iterdir()} == {
        "comparison.json", "comparison.html", "runs", "measured"
    }  # fmt: skip
    assert "[2/2] window-seed-0: accuracy" in ran.stderr
    # a run of a comparison is a run like any other
    assert run_command("evaluate", "report/runs/none-seed-0", "--test", "dev.conllu").status == 0
    again = run_command(*COMPARE, *TWO, "--out", "report")
    assert "resuming the comparison in report" in again.stdout
    assert "[1/2] none-seed-0: accuracy" in again.stdout
    assert "(already done)" in again.stdout


@pytest.mark.usefixtures("together")
def test_a_file_of_contenders(place: Path) -> None:
    ran = run_command("compare", "compare.toml", "--out", "report", "--quiet")
    assert ran.status == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("contender")
    assert [line.split()[0] for line in lines[1:]] == ["small", "large"]
    page = (place / "report" / "comparison.html").read_text(encoding="utf-8")
    assert "encoder.kind = none, encoder.hidden = 8" in page


TRANSLATORS = """\
[compare]
task = "translate"
seeds = 1
lengths = [3]

[data]
train = ["builtin:dates"]

[contenders.plain.model]
kind = "gru"
attention = "none"
embedding = 4
hidden = 4

[contenders.additive.model]
kind = "gru"
attention = "additive"
embedding = 4
hidden = 4
"""


@pytest.mark.usefixtures("tiny_defaults", "tiny_comparisons")
@pytest.mark.parametrize(
    ("args", "metric"),
    [
        (("translators.toml", "--set", "training.batch_tokens=400"), "BLEU"),
        (
            ("classify", "--train", "all.tsv", "--encoders", "none,window", "--seeds", "2"),
            "accuracy",
        ),
        (
            (
                "regress",
                "--train",
                "all.tsv",
                "--text",
                "label",
                "--target",
                "number",
                "--encoders",
                "none,gru",
            ),
            "RMSE",
        ),
    ],
    ids=["translate", "classify", "regress"],
)
def test_every_task_compares(place: Path, args: tuple[str, ...], metric: str) -> None:
    rows = "".join(f"film {n} was {'bad' if n % 2 else 'good'}\t{n % 2}\t{n}\n" for n in range(20))
    (place / "all.tsv").write_text("text\tlabel\tnumber\n" + rows, encoding="utf-8")
    (place / "translators.toml").write_text(TRANSLATORS, encoding="utf-8")
    ran = run_command("compare", *args, "--out", "report", "--quiet")
    assert ran.status == 0, ran.stderr
    head, *lines = ran.stdout.splitlines()
    assert (metric in head, len(lines)) == (True, 2)
    page = (place / "report" / "comparison.html").read_text(encoding="utf-8")
    assert f"Quality: {metric}" in page


@pytest.mark.usefixtures("together")
def test_one_that_fails_does_not_lose_the_others(place: Path) -> None:
    args = ("--encoders", "none,lstm", "--seeds", "1", "--budget", "steps=1", "--out", "report")
    ran = run_command(*COMPARE, *args)
    assert ran.status == 1
    assert "failed: lstm, seed 0: no memory for this one" in ran.stderr
    assert re.search(r"^none +\d.*\nlstm +failed +–", ran.stdout, re.MULTILINE)
    assert "no memory for this one" in (place / "report" / "comparison.html").read_text("utf-8")


@pytest.mark.usefixtures("together")
def test_when_all_fail_the_command_does(place: Path) -> None:
    (place / "both.toml").write_text(
        FILE.replace("contenders.small", "contenders.lstm").split("[contenders.large")[0]
        + "[contenders.lstm2.encoder]\nkind = 'lstm+attention'\nhidden = 7\nheads = 3\n"
    )
    ran = run_command("compare", "both.toml", "--out", "report")
    assert (ran.status, "every training failed" in ran.stderr) == (1, True)


@pytest.mark.usefixtures("together")
def test_ctrl_c_says_how_to_go_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(plan: Plan) -> Any:
        def run(job: Job, folder: Path) -> Iterator[Any]:
            if job.contender == "window":
                raise KeyboardInterrupt
            yield from in_this_process(plan)(job, folder)

        return run

    monkeypatch.setattr(compare_run, "subprocess_runner", stopped)
    ran = run_command(*COMPARE, *TWO, "--out", "report")
    assert (ran.status, "interrupted; run the same command to resume" in ran.stderr) == (130, True)
    monkeypatch.setattr(compare_run, "subprocess_runner", but_for_lstm)
    ran = run_command(*COMPARE, *TWO, "--out", "report")
    assert (ran.status, "none-seed-0" in ran.stdout, "(already done)" in ran.stdout) == (
        0,
        True,
        True,
    )


BAD = [
    ((*COMPARE, *TWO), 2, "--out is missing"),
    (("compare", "tga", "--out", "new"), 2, "unknown task 'tga'; did you mean 'tag'"),
    (("compare", "none.toml", "--out", "new"), 2, "'none.toml' does not exist"),
    ((*COMPARE, "--encoders", "none,lsmt", "--out", "new"), 2, "unknown encoder 'lsmt'; did you mean 'lstm'"),
    ((*COMPARE, "--encoders", "none", "--out", "new"), 2, "needs at least two contenders"),
    ((*COMPARE, *TWO, "--budget", "epoch=2", "--out", "new"), 2, "unknown budget 'epoch'; did you mean 'epochs=N'"),
    ((*COMPARE, *TWO, "--fractions", "0.1;0.3", "--out", "new"), 2, "--fractions: expected numbers separated"),
    ((*COMPARE, *TWO, "--set", "training.epoch=3", "--out", "new"), 2, "did you mean 'training.epochs'"),
    (("compare", "tag", "--encoders", "none,window", "--out", "new"), 2, "there is no training data"),
    ((*COMPARE, *TWO, "--text", "x", "--out", "new"), 2, "unknown key 'data.text'"),
    ((*COMPARE, *TWO, "--out", "taken"), 1, "taken exists and is not empty"),
    (("compare", "wrong.toml", "--out", "new"), 2,
     "wrong.toml, line 25: contender 'large': unknown key 'encoder.hiden'; did you mean 'encoder.hidden'"),
    (("compare", "value.toml", "--out", "new"), 2, "contenders is a section, [contenders], not a value"),
    (("compare", "seeds.toml", "--out", "new"), 2, "seeds.toml, line 3: unknown section or key 'sedes'; did you mean"),
    (("compare", "tag", "--train", "nine.conllu", "--valid", "dev.conllu", *TWO, "--out", "new"),
     1, "nine.conllu, line 1: "),
]  # fmt: skip


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize(("args", "status", "message"), BAD, ids=[each[2] for each in BAD])
def test_bad_input_is_answered_and_nothing_is_written(
    place: Path, args: tuple[str, ...], status: int, message: str
) -> None:
    (place / "taken").mkdir()
    (place / "taken" / "letter.txt").write_text("mine")
    (place / "wrong.toml").write_text(FILE.replace("hidden = 8", "hiden = 8"))
    (place / "value.toml").write_text("contenders = 3\n")
    (place / "seeds.toml").write_text(FILE.replace("seeds =", "sedes ="))
    (place / "nine.conllu").write_text("1\tI\n")
    before = snapshot(place)
    ran = run_command(*args)
    assert (ran.status, message in ran.stderr) == (status, True), ran.stderr
    assert snapshot(place) == before
