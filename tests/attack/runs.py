"""What a run folder holds, to compare the run of a killed training with that of one left alone."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attack.training_server import Answer, TrainingServer

CLOCK = {"seconds", "training_seconds", "run"}
"""Keys of metrics.jsonl that differ between two trainings that are the same."""


def contents(run: Path) -> dict[str, Any]:
    """Return the content of every file of a run, without times and its own path."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir():
            found[name] = "folder"
        elif path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            found[name] = [
                {key: value for key, value in line.items() if key not in CLOCK} for line in lines
            ]
        elif path.parent.name == "measured":
            values = json.loads(path.read_text("utf-8"))
            found[name] = {key: values[key] for key in ("quality", "steps", "scores", "statistics")}
        elif path.name == "report.html":
            found[name] = re.sub(r"/\S+/run\b", "run", path.read_text("utf-8"))
        else:
            found[name] = path.read_bytes()
    return found


def take_advice(server: TrainingServer, task: str, run: Path, **request: Any) -> str:
    """Resume a run that a fault stopped, do what the answer says, and return how the run was told to be.

    The answer is "never began", "finished" or "resumed"; each leaves a finished run.
    """
    request.pop("overwrite", None)
    answer = server.train(task, run, **{**request, "resume": True})
    if answer.error is None:
        return _checked(answer, "resumed")
    if "has finished; there is nothing to resume" in answer.error:
        return "finished"
    assert any(each in answer.error for each in ("never began", "does not exist")), answer
    _checked(server.train(task, run, **request, overwrite=True), "")
    return "never began"


def _checked(answer: Answer, told: str) -> str:
    assert not answer.killed
    assert answer.error is None, answer.error
    return told


@dataclass(frozen=True)
class Reference:
    """A training that met no fault."""

    run: Path
    before: Path | None
    """What its folder held before."""
    request: dict[str, Any]
    operations: list[str]


def reference(server: TrainingServer, task: str, start: str, folder: Path) -> Reference:
    """Train a run: "new", "overwrite" over an old one, or "continued" from a finished one."""
    before = None
    request: dict[str, Any] = {"epochs": 2}
    run = folder / "whole" / "run"
    if start != "new":
        before = folder / "before" / "run"
        old = {"epochs": 1} if start == "continued" else {"epochs": 2, "seed": 7}
        assert server.train(task, before, **old).error is None
        request["resume" if start == "continued" else "overwrite"] = True
        shutil.copytree(before, run)
    run.parent.mkdir(exist_ok=True)
    answer = server.train(task, run, **request)
    assert answer.error is None
    return Reference(run, before, request, answer.operations)


def check_fault(
    server: TrainingServer, task: str, whole: Reference, place: Path, **fault: Any
) -> tuple[Answer, str]:
    """Let a training meet a fault, follow the advice, and compare with the one that met none.

    Returns: how it ended, and how the run was told to be.
    """
    run = place / "_".join(map(str, fault.values())) / "run"
    if whole.before is not None:
        shutil.copytree(whole.before, run)
    else:
        run.parent.mkdir()
    answer = server.train(task, run, **whole.request, **fault)
    told = take_advice(server, task, run, **whole.request)
    found = contents(run)
    if told == "finished" and "overwrite" in whole.request and found != contents(whole.run):
        # The new run had not begun: the old one is as it was.
        assert whole.before is not None
        assert found == contents(whole.before), fault
        assert server.train(task, run, **whole.request).error is None
        told, found = "never began", contents(run)
    wanted = contents(whole.run)
    assert found.keys() == wanted.keys(), fault
    assert {name for name in found if found[name] != wanted[name]} == set(), fault
    shutil.rmtree(run.parent)
    return answer, told
