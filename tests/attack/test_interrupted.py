"""A training that is killed at any operation on its files is told apart, and ends as if it had been left alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from heedful.tasks.table import TASKS
from tests.attack.conftest import Say
from tests.attack.runs import check_fault, contents, reference
from tests.attack.training_server import TrainingServer

SOME = {"new": (5, 16), "overwrite": (6, 40), "continued": (8, 30)}
"""The ordinary run kills at every 16th, 40th or 30th operation, the long one at each."""


def sweep(
    server: TrainingServer, task: str, start: str, folder: Path, *, first: int = 1, every: int = 1
) -> dict[str, int]:
    """Kill at many operations and return how often each stage was met, in their order."""
    whole = reference(server, task, start, folder)
    stages = []
    for at in range(first, len(whole.operations) + 1, every):
        answer, told = check_fault(server, task, whole, folder, at=at)
        assert answer.killed
        stages.append(told)
    order = ["never began", "resumed", "finished"]
    assert stages == sorted(stages, key=order.index)
    return {each: stages.count(each) for each in order}


@pytest.mark.parametrize("start", ["new", "overwrite", "continued"])
def test_killed_at_some_operations(server: TrainingServer, tmp_path: Path, start: str) -> None:
    first, every = SOME[start]
    met = sweep(server, "tag", start, tmp_path, first=first, every=every)
    assert met["resumed"] > 1


@pytest.mark.long
@pytest.mark.parametrize("start", ["new", "overwrite", "continued"])
@pytest.mark.parametrize("task", TASKS)
def test_killed_at_every_operation(
    server: TrainingServer, tmp_path: Path, say: Say, task: str, start: str
) -> None:
    met = sweep(server, task, start, tmp_path)
    say(f"{task}, {start}: killed at {sum(met.values())} operations: {met}")
    assert met["resumed"] > 20


def kill_at_random(
    server: TrainingServer, task: str, folder: Path, kills: int, seed: int
) -> dict[str, int]:
    """Kill trainings of a task at random times and return how often each stage was met."""
    whole, draws = reference(server, task, "new", folder), random.Random(f"{task} {seed}")
    met = {"never began": 0, "resumed": 0, "finished": 0}
    for _ in range(kills):
        after = draws.uniform(
            0, server.train(task, folder / "timed" / "run", overwrite=True).seconds
        )
        answer, told = check_fault(server, task, whole, folder, kill_after=after)
        met[told] += 1
        assert answer.killed or told == "finished"
    return met


def test_killed_at_random_times(server: TrainingServer, tmp_path: Path) -> None:
    assert sum(kill_at_random(server, "classify", tmp_path, kills=2, seed=1).values()) == 2


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_killed_at_random_times_in_every_task(
    server: TrainingServer, tmp_path: Path, say: Say, task: str
) -> None:
    met = kill_at_random(server, task, tmp_path, kills=5, seed=2)
    say(f"{task}, seed 2: {sum(met.values())} kills: {met}")


def sweep_comparison(server: TrainingServer, task: str, folder: Path, every: int = 1) -> int:
    """Kill a comparison at many operations, give the same command again, and return how often."""
    operations = server.train(task, folder / "whole", compare=True).operations
    wanted, numbers = contents(folder / "whole"), range(2, len(operations) + 1, every)
    for at in numbers:
        out = folder / str(at)
        assert server.train(task, out, compare=True, at=at).killed
        assert server.train(task, out, compare=True).error is None
        assert contents(out) == wanted, operations[at - 1]
    return len(numbers)


def test_a_comparison_killed_at_some_operations(server: TrainingServer, tmp_path: Path) -> None:
    assert sweep_comparison(server, "tag", tmp_path, every=80) > 1


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_a_comparison_killed_at_every_operation(
    server: TrainingServer, tmp_path: Path, say: Say, task: str
) -> None:
    say(f"{task}: comparisons killed at {sweep_comparison(server, task, tmp_path)} operations")
