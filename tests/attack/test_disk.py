"""A full disk, a folder that may not be written to, or one that is removed: what is said, and what remains."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heedful import WriteError, atomic_files
from heedful.atomic_files import write_text
from heedful.compare.comparison import data_digest, run_all
from heedful.errors import RunError
from heedful.run_lock import LOCK
from heedful.tasks.table import TASKS
from heedful.training.events import Validated
from heedful.training.loop import train_model
from tests.attack.conftest import Say
from tests.attack.file_faults import FileFaults
from tests.attack.runs import check_fault, contents, reference
from tests.attack.training_server import TrainingServer, configuration
from tests.compare.conftest import case_of, plan_of

TAG, DATA = TASKS["tag"], case_of("tag").data
FAULTS = {
    "full": ("No space left on device", "make room on the disk"),
    "read-only": ("Read-only file system", "make the folder writable"),
    "broken": ("Input/output error", "mend that"),
}
"""Fault -> what the message says of the system's error, and how to mend it."""
RELEASED = ("unlink run/.heedful.lock", "rmdir")
"""Operations after which nothing is left to do; whether they fail matters to nobody."""


def check_message(fault: str, operation: str, error: str | None) -> None:
    """Check that an error names a file, what the system said, and how to go on."""
    if error is None:
        assert operation.startswith(RELEASED), operation
        return
    reason, remedy = FAULTS[fault]
    assert f"cannot be written: {reason}. " in error
    assert f"{remedy}, then " in error
    assert any(
        each in error
        for each in (
            "Nothing else was changed",
            "The checkpoint of step",
            "The trained model in",
        )
    ), error


def sweep(
    server: TrainingServer, task: str, folder: Path, fault: str, *, first: int = 1, every: int = 1
) -> int:
    """Let a fault happen at many operations and return their number."""
    whole = reference(server, task, "new", folder)
    numbers = range(first, len(whole.operations) + 1, every)
    for at in numbers:
        answer, _ = check_fault(server, task, whole, folder, at=at, fault=fault)
        check_message(fault, whole.operations[at - 1], answer.error)
        assert answer.kind in (None, "WriteError")
    return len(numbers)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_some_operations(server: TrainingServer, tmp_path: Path, fault: str) -> None:
    assert sweep(server, "tag", tmp_path, fault, first=7, every=50) > 2


def test_a_limit_of_the_system_on_files(server: TrainingServer, tmp_path: Path) -> None:
    whole = reference(server, "tag", "new", tmp_path)
    # Between the sizes of the first checkpoint and of those with moments of the optimizer.
    answer, told = check_fault(server, "tag", whole, tmp_path, file_limit=9000)
    assert (
        "state.next.safetensors cannot be written: File too large. The checkpoint of step 0 in"
        in str(answer.error)
    )
    assert "is unharmed: allow larger files, then go on with --resume" in str(answer.error)
    assert told == "resumed"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        not hasattr(os, "geteuid")
        or os.geteuid()
        or not mount("-t", "tmpfs", "-o", "size=128k", "none", disk)
    ):
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def mount(*words: Any) -> bool:
    return subprocess.run(["mount", *words], check=False, capture_output=True).returncode == 0


def test_a_file_system_that_is_full(small_disk: Path, tmp_path: Path) -> None:
    run, filler = small_disk / "run", small_disk / "filler"
    filler.write_bytes(bytes(88 * 1024))
    with pytest.raises(
        WriteError,
        match="No space left on device. The checkpoint of step .* is unharmed: make room",
    ):
        list(train(run))
    filler.unlink()
    list(train(run, resume=True))
    list(train(tmp_path / "other"))
    assert contents(run) == contents(tmp_path / "other")


def test_a_file_system_that_is_read_only(small_disk: Path, tmp_path: Path) -> None:
    run = small_disk / "run"
    until_validated(run).close()
    assert mount("-o", "remount,ro", small_disk)
    with pytest.raises(
        WriteError,
        match=r"\.lock cannot be written: Read-only file system. Nothing else was changed",
    ):
        train(run, resume=True)
    assert mount("-o", "remount,rw", small_disk)
    list(train(run, resume=True))
    list(train(tmp_path / "other"))
    assert contents(run) == contents(tmp_path / "other")


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("task", TASKS)
def test_a_fault_at_every_operation(
    server: TrainingServer, tmp_path: Path, say: Say, task: str, fault: str
) -> None:
    say(f"{task}, {fault}: {sweep(server, task, tmp_path, fault)} operations")


def train(run: Path, **options: Any) -> Any:
    return train_model(TAG, configuration("tag"), DATA, DATA, run, **options)


def until_validated(run: Path) -> Any:
    training = train(run)
    while not isinstance(next(training), Validated):
        pass
    return training


def test_unwritable_metrics_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = atomic_files._write

    def refuse(path: Path, content: bytes) -> None:
        if "metrics.jsonl" in path.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        write(path, content)

    monkeypatch.setattr(atomic_files, "_write", refuse)
    run = tmp_path / "run"
    with pytest.raises(WriteError) as told:
        list(train(run))
    assert str(told.value) == (
        f"{run}/metrics.jsonl cannot be written: Permission denied. The checkpoint of step 2 in "
        f"{run}/checkpoints/state.safetensors is unharmed: make the folder writable, then go on with --resume "
        "(in Python resume=True)"
    )
    monkeypatch.undo()
    list(train(run, resume=True))
    list(train(tmp_path / "other"))
    assert contents(run) == contents(tmp_path / "other")


def test_a_removed_folder_is_said(tmp_path: Path) -> None:
    run = tmp_path / "run"
    training = until_validated(run)
    shutil.rmtree(run)
    with pytest.raises(
        WriteError,
        match=r"cannot be written: No such file or directory\. The checkpoints in .* are gone: mend that, then start",
    ):
        list(training)
    assert not run.exists()


def test_removed_checkpoints_are_said(tmp_path: Path) -> None:
    run = tmp_path / "run"
    training = until_validated(run)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(WriteError, match="The checkpoints in .* are gone"):
        list(training)
    with pytest.raises(
        RunError, match="no checkpoint to resume from, and its training has not finished"
    ):
        train(run, resume=True)


def test_a_full_disk_does_not_harm_the_run_that_was_to_be_replaced(tmp_path: Path) -> None:
    run = tmp_path / "run"
    list(train(run))
    before = contents(run)
    with FileFaults(tmp_path, at=20, fault="full"), pytest.raises(WriteError) as told:
        list(train(run, overwrite=True))
    assert "No space left on device. Nothing else was changed: make room on the disk" in str(
        told.value
    )
    assert contents(run) == before


def test_a_read_only_run_is_not_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    until_validated(run).close()
    before = contents(run)
    with FileFaults(tmp_path, at=1, fault="read-only"), pytest.raises(WriteError) as told:
        train(run, resume=True)
    assert f"{run / LOCK} cannot be written: Read-only file system" in str(told.value)
    assert contents(run) == before


def test_a_comparison_on_a_full_disk_keeps_what_was_measured(tmp_path: Path) -> None:
    plan, out = plan_of(seeds=1), tmp_path / "out"

    def runner(*_: Any) -> Any:
        raise RunError("not trained")
        yield

    with (
        FileFaults(tmp_path, at=16, fault="full"),
        pytest.raises(
            RunError,
            match=r"measured.* cannot be written: No space left .*run the same command again",
        ),
    ):
        list(run_all(plan, out, data_digest((DATA, DATA)), runner))


def test_what_is_not_read_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    monkeypatch.setattr(atomic_files, "_holds", lambda path, content: False)
    with pytest.raises(WriteError, match="what was read back differs from what was written"):
        write_text(path, "new")
    assert [path.read_text(), *tmp_path.iterdir()] == ["old", path]


def test_what_is_read_back_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    held = {text: atomic_files._holds(path, text) for text in (b"abc", b"abd", b"ab", b"abcd", b"")}
    assert held == {b"abc": True, b"abd": False, b"ab": False, b"abcd": False, b"": False}


@pytest.mark.parametrize(("number", "is_raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_raised: bool
) -> None:
    sync = os.fsync

    def refuse(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("this system has no /proc")
    monkeypatch.setattr(os, "fsync", refuse)
    if is_raised:
        with pytest.raises(WriteError, match="Input/output error"):
            write_text(tmp_path / "a.txt", "new")
    else:
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
