"""`heedful bench`: tables, pictures, JSON, and one message for whatever is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heedful.bench.operations import OPERATIONS
from tests.cli.conftest import run_command

TINY = ("--keys", "4", "--hidden", "4", "--seconds", "0.01")


def test_the_list_names_every_operation_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran = run_command("bench", "--list")
    assert ran.status == 0
    for name, operation in OPERATIONS.items():
        assert re.search(rf"^{name} +{re.escape(operation.title)}", ran.stdout, re.MULTILINE)
    assert "keras (not installed)" in ran.stdout
    assert "heedful, edges made once, heedful, from edge_index" in ran.stdout
    told = json.loads(run_command("bench", "--list", "--json").stdout)
    assert [one["name"] for one in told["operations"]] == list(OPERATIONS)


def test_json_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run_command(
        *(
            "bench",
            "decoder-step",
            *TINY,
            "--lengths",
            "16,4,8",
            "--batch",
            "2",
            "--only",
            "heedful",
        ),
        *("--only", "textbook", "--out", "step.svg", "--json"),
    )
    assert ran.status == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 1
    values = json.loads(ran.stdout)
    assert values["files"] == ["step.svg"]
    found = [(one["sizes"]["keys"], one["contender"], one["status"]) for one in values["results"]]
    assert found == [
        (keys, name, "measured") for keys in (4, 8, 16) for name in ("heedful", "textbook")
    ]
    assert values["machine"]["processor"]
    assert Path("step.svg").read_text(encoding="utf-8").count("<svg") == 1


BAD = [
    (("bench",), 2, r"name an operation, such as additive"),
    (("bench", "aditive"), 2, r"unknown operation 'aditive'; did you mean 'additive'\?"),
    (
        ("bench", "additive", "--window", "4"),
        2,
        r"additive has no size 'window'. Its sizes are: batch,",
    ),
    (("bench", "additive", "--keys", "0"), 2, r"--keys"),
    (
        ("bench", "additive", "--lengths", "64,x"),
        2,
        r"--lengths: expected positive integers separated by commas.*64,x",
    ),
    (("bench", "additive", "--only", "hedful"), 2, r"did you mean 'heedful'\?"),
    (("bench", "additive", "--threads", "100000"), 2, r"--threads 100000: this machine has"),
    (
        ("bench", "additive", "--out", "plot.gif"),
        2,
        r"plot\.gif ends in '\.gif'; a plot is a \.png or",
    ),
    (("bench", "additive", "--out", "old.svg"), 1, r"old\.svg exists; --overwrite replaces it"),
    (("bench", "additive", "step", "--out", "a/b.svg"), 2, r"unknown operation 'step'"),
    (("bench", "dot", "additive", "--out", "a/b.svg"), 1, r"there is no folder 'a'"),
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
    ran = run_command(*args)
    assert (ran.status, ran.stdout) == (status, "")
    assert re.search(message, ran.stderr), ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["old.svg"]


def children(process: int) -> str:
    return Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")


def gone(group: int) -> bool:
    """Wait until no process of a group is left."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
def test_ctrl_c_ends_it_and_what_it_started() -> None:
    command = [sys.executable, "-m", "heedful", "bench", "decoder-step", *TINY[:4]]
    process = subprocess.Popen(
        [*command, "--seconds", "600", "--only", "heedful"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    with process:
        while not children(process.pid):
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"interrupted\n")
    assert gone(process.pid)
