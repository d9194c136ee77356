"""One process at a time writes to a run folder, and the lock of one that was killed is free."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import heedful
from heedful import run_lock
from heedful.cli import main
from heedful.compare.comparison import check_folder, data_digest, run_all
from heedful.errors import RunError
from heedful.run_lock import LOCK, RunLock
from heedful.tasks.table import TASKS
from heedful.training.events import Started
from heedful.training.loop import train_model
from tests.attack.runs import contents
from tests.attack.training_server import TrainingServer, configuration
from tests.compare.conftest import case_of, plan_of

TAG, DATA = TASKS["tag"], case_of("tag").data


def events(run: Path, **options: Any) -> Any:
    return train_model(TAG, configuration("tag"), DATA, DATA, run, **options)


@pytest.fixture
def living(tmp_path: Path) -> Any:
    """A training that has taken no step yet, and its folder."""
    training = events(tmp_path / "run")
    assert isinstance(next(training), Started)
    yield training
    training.close()


IN_USE = (
    f"is being written to by process {os.getpid()} on {socket.gethostname()}; wait until it ends"
)


@pytest.mark.parametrize("option", ["resume", "overwrite"])
def test_a_living_run_is_left_alone(living: Any, tmp_path: Path, option: str) -> None:
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match=IN_USE):
        events(tmp_path / "run", **{option: True})
    with pytest.raises(RunError, match=IN_USE):
        heedful.train("tag", train=DATA, valid=DATA, out=tmp_path / "run", **{option: True})
    assert contents(tmp_path / "run") == before
    assert len(list(living)) > 2
    assert not (tmp_path / "run" / LOCK).exists()


def test_the_command_says_who_writes(living: Any, tmp_path: Path) -> None:
    words = ["--train", "builtin:saw", "--overwrite", "--out", str(tmp_path / "run")]
    found = CliRunner().invoke(main.app, ["train", "tag", *words], prog_name="heedful")
    assert found.exit_code == 1
    assert IN_USE in found.stderr


def test_two_new_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    first, second = events(tmp_path / "run"), events(tmp_path / "run")
    next(first)
    with pytest.raises(RunError, match=IN_USE):
        next(second)
    first.close()


def test_a_folder_that_got_a_run_meanwhile_is_left_alone(tmp_path: Path) -> None:
    late = events(tmp_path / "run")
    with contextlib.closing(events(tmp_path / "run")) as first:
        next(first)
    with pytest.raises(RunError, match="already holds a run"):
        next(late)


def test_a_training_that_fails_before_its_first_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RunError("no vocabulary")

    monkeypatch.setattr(type(TAG), "learn", fail)
    with pytest.raises(RunError, match="no vocabulary"):
        next(events(tmp_path / "new" / "run"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_killed_process_frees_its_lock(server: TrainingServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert server.train("tag", run, at=60).killed
    left = json.loads((run / LOCK).read_text())
    assert left["host"] == socket.gethostname()
    assert left["pid"] != os.getpid()
    list(events(run, resume=True))
    assert not (run / LOCK).exists()


def test_a_comparison_has_one_owner(tmp_path: Path) -> None:
    plan, out = plan_of(seeds=1), tmp_path / "out"
    digest = data_digest((DATA, DATA))

    def never(*_: Any) -> Any:
        raise AssertionError("no training is begun")
        yield

    first = run_all(plan, out, digest, never)
    next(first)
    with pytest.raises(RunError, match=IN_USE):
        check_folder(plan, out, digest)
    with pytest.raises(RunError, match=IN_USE):
        next(run_all(plan, out, digest, never))
    first.close()
    assert check_folder(plan, out, digest)
    assert not (out / LOCK).exists()


def failing(number: int) -> Callable[[int], None]:
    def lock(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    return lock


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "_lock", failing(errno.ENOLCK))
    with contextlib.closing(events(tmp_path / "run")) as training:
        assert any("has no locks" in notice for notice in next(training).notices)


def test_a_lock_that_cannot_be_taken_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "_lock", failing(errno.EIO))
    with pytest.raises(RunError, match=r"\.lock cannot be written: Input/output error"):
        next(events(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_its_owner_removed_is_not_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another process removes the file between our opening and our locking it.
    lock, calls = run_lock._lock, []

    def removed(descriptor: int) -> None:
        if not calls:
            (tmp_path / LOCK).unlink()
        calls.append(descriptor)
        lock(descriptor)

    monkeypatch.setattr(run_lock, "_lock", removed)
    with RunLock(tmp_path):
        assert len(calls) == 2
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_the_lock_of_another_folder_in_its_place_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with RunLock(folder):
        (folder / LOCK).unlink()
        (folder / LOCK).write_text("of another process")
    assert (folder / LOCK).read_text() == "of another process"


def test_a_lock_without_a_name_is_held_by_another_process(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        (tmp_path / LOCK).write_text("")
        with pytest.raises(RunError, match="by another process"), RunLock(tmp_path):
            pass


def test_files_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    # A folder given by mistake, with names like those that a run uses.
    for name in (".lock", "state.partial", ".draft.partial"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".new").mkdir()
    before = contents(tmp_path)
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(RunError, match="choose another folder|is not a run folder"):
            events(tmp_path, **options)
    assert contents(tmp_path) == before
