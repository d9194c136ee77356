"""Thousands of damaged run folders and data files: each gives a result, or one message of a few lines."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from heedful.errors import DataError, HeedfulError
from tests.attack.isolated import isolated, judged

ROOT = Path(__file__).parents[2]
SINGLE = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""A process that forks has one thread."""


def check_cases(module: str, seed: int, count: int, folder: Path) -> Counter[str]:
    """Run cases in a process of their own and check what came of them; return how many came to what."""
    command = [sys.executable, "-m", f"tests.attack.{module}", str(seed), str(count), str(folder)]
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **SINGLE}, capture_output=True, text=True, check=False
    )
    cases = [json.loads(line) for line in ran.stdout.splitlines()]
    found = Counter(kind for _, _, kind, _ in cases)
    sys.stdout.write(f"{module}: seed {seed}, {len(cases)} cases: {dict(found)}\n")
    assert (ran.returncode, len(cases)) == (0, count), ran.stderr[-2000:]
    assert [case for case in cases if case[2] not in ("result", "refused")] == []
    assert found["refused"] > count / 3
    assert found["result"] > count / 50
    return found


def test_damaged_run_folders(tmp_path: Path) -> None:
    check_cases("run_folder_cases", 0, 100, tmp_path / "cases")


def test_damaged_data(tmp_path: Path) -> None:
    check_cases("data_cases", 0, 300, tmp_path / "cases")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 4))
def test_a_thousand_damaged_run_folders(seed: int, tmp_path: Path) -> None:
    check_cases("run_folder_cases", seed, 1000, tmp_path / "cases")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 5))
def test_2500_damaged_files_of_data(seed: int, tmp_path: Path) -> None:
    check_cases("data_cases", seed, 2500, tmp_path / "cases")


def _raise(error: BaseException) -> None:
    raise error


def test_the_check_tells_what_is_wrong(tmp_path: Path) -> None:
    assert isolated(lambda: None, tmp_path).kind == "result"
    assert isolated(lambda: _raise(DataError("no")), tmp_path) == ("refused", "no")
    assert isolated(lambda: _raise(KeyError("x")), tmp_path).kind == "traceback"
    assert isolated(lambda: _raise(SystemExit(0)), tmp_path).kind == "traceback"
    assert isolated(lambda: os.kill(os.getpid(), 9), tmp_path).kind == "crash"
    assert isolated(lambda: time.sleep(60), tmp_path, seconds=1).kind == "hang"
    assert isolated(lambda: bytes(2**31), tmp_path, memory=2**30).kind == "memory"
    assert judged("a\x1b[2J").kind == judged("x\n" * 50).kind == judged("").kind == "message"
    assert judged(str(HeedfulError("\x1b" * 10_000))).kind == "refused"
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert isolated((tmp_path / "canary").touch, tmp_path).kind == "executed"
