"""Measuring in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import Any

import pytest

from heedful import worker_process
from heedful.bench.process import Doing, run_job
from heedful.bench.results import Result
from heedful.bench.settings import Job, Settings
from heedful.errors import RunError

SETTINGS = Settings(seconds=0.01, only=("heedful", "textbook"))


def test_a_job_tells_what_it_does_and_what_it_found_until_its_process_dies() -> None:
    cases = ({"keys": 4, "hidden": 4}, {"keys": 8, "hidden": 4}, {"no_such_size": 1})
    events: list[Doing | list[Result]] = []
    with pytest.raises(RunError, match=r"ended early: .*no size 'no_such_size'"):
        events.extend(run_job(Job("decoder-step", cases, SETTINGS), os.environ))
    doing = [event for event in events if isinstance(event, Doing)]
    found = [event for event in events if not isinstance(event, Doing)]
    assert [[one.contender for one in case] for case in found] == [["heedful", "textbook"]] * 2
    assert [case[0].sizes["keys"] for case in found] == [4, 8]
    shares = [each.share for each in doing]
    assert shares == sorted(shares)
    assert doing[-1].share == pytest.approx(2 / 3)


def test_closing_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    class Remembered(subprocess.Popen[str]):
        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(worker_process.subprocess, "Popen", Remembered)
    with contextlib.closing(run_job(Job("additive", ({},), SETTINGS), os.environ)) as events:
        next(events)
    assert started[0].returncode is not None
