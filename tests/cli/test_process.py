"""The command as a process: how soon it answers, that it streams, and how it ends when cut off."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HEEDFUL = [sys.executable, "-m", "heedful"]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""}


def start(*args: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*HEEDFUL, *args], stdin=pipe, stdout=pipe, stderr=pipe, env=environment()
    )


@pytest.mark.parametrize(
    ("args", "status"), [(["--help"], 0), (["train", "translate", "--hlep"], 2), (["predict"], 2)]
)
def test_help_and_usage_errors_do_not_wait_for_torch(args: list[str], status: int) -> None:
    code = (
        "import sys\nfrom heedful.cli.main import app\n"
        f"try:\n    app({args!r})\n"
        "except SystemExit as end:\n    status = end.code\n"
        "slow = {'torch', 'numpy', 'tokenizers', 'matplotlib'} & set(sys.modules)\n"
        "print(status, sorted(slow))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == f"{status} []"


def test_predict_answers_before_its_input_ends(place: Path) -> None:
    process = start("predict", "runs/en-de", "-q")
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        for line in (b"4 Mar 2026\n", b"5 May 1999\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().endswith(b"\n")
        process.stdin.write(b"\xff\n")
        rest, errors = process.communicate(timeout=300)
    assert rest == b""
    assert b"standard input, line 3: " in errors
    assert process.returncode == 1


def test_a_broken_pipe_is_quiet(place: Path) -> None:
    Path("many.en").write_text("4 Mar 2026\n" * 3000, encoding="utf-8")
    process = start("predict", "runs/en-de", "many.en", "--beam", "1")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(timeout=300)
    process.stderr.close()
    assert process.stdin is not None
    process.stdin.close()
    assert (process.returncode, errors) == (1, b"")


def test_ctrl_c_while_training(place: Path) -> None:
    files = ("--train", "train.en", "train.de", "--valid", "valid.en", "valid.de")
    sets = ("--model", "gru", "--set", "model.hidden=8", "--set", "training.epochs=5000")
    process = start(
        "train", "translate", *files, *sets, "--set", "training.patience=0", "--out", "new"
    )
    assert process.stdout is not None
    with process:
        while b"epoch 1:" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert re.fullmatch(
        "stopping after this step; Ctrl-C again stops at once\n"
        r"interrupted; saved after step [\d,]+; resume with: heedful train translate --resume --out new\n",
        errors.decode(),
    )


@pytest.mark.long
def test_the_demo_reads_dates_that_it_never_saw(place: Path) -> None:
    ran = subprocess.run(
        [*HEEDFUL, "demo", "--json"], capture_output=True, text=True, check=True, env=environment()
    )
    values = json.loads(ran.stdout.splitlines()[-1])
    assert values["exact_match"] >= 0.98
    assert Path(values["run"], "report.html").samefile(values["report"])
    # no library speaks: what is on standard error is the command's own
    assert "Warning" not in ran.stderr
    assert "ightning" not in ran.stderr
