"""Preparing a translation training: memory that hardly grows with the data, and a kill or a full disk on the way.

Ordinary run: two sizes of files, whose peaks of resident memory differ by a bounded number of bytes a pair. Long: five
million pairs within 2 GiB.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory

BYTES_A_PAIR = 400
"""Growth of resident memory that is allowed for a pair of about 50 characters; lists of strings and ids take more."""

ONLY_ON_DISK = "from heedful.data import spool; spool.MEMORY_LIMIT = 0"
KILLED_WHILE_ENCODING = """
from heedful.data import packed_ids
append, calls = packed_ids.Spool.append, []
def kill(self, data):
    append(self, data)
    calls.append(data)
    if len(calls) == 2:  # the sources of the training data are encoded, and its targets
        os.kill(os.getpid(), signal.SIGKILL)
packed_ids.Spool.append = kill
"""
KILLED_WHILE_WRITING = """
from heedful.training import encoded_store
write = encoded_store._write
def kill(path, array):
    if path.name == "targets.ids":
        array = array[: len(array) // 2]
    write(path, array)
    if path.name == "targets.ids":
        os.kill(os.getpid(), signal.SIGKILL)
encoded_store._write = kill
"""
SETTINGS = (
    "model.embedding=8",
    "model.hidden=8",
    "training.epochs=2",
    "training.batch_tokens=400",
    "training.threads=1",
    "training.metric=loss",
    "training.keep_freed_memory=false",
)


def train(folder: Path, *words: str, patch: str = "", **options: Any) -> tuple[int, str]:
    """Run `heedful train translate` in a process that executes `patch` first; return its status and its errors."""
    code = f"import os, signal; {ONLY_ON_DISK}\n{patch}\nfrom heedful.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "translate", "--quiet", *words],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "temporary"), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **options,
    )
    assert list((folder / "temporary").iterdir()) == []
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    memory.write_pairs(folder, 400)
    (folder / "temporary").mkdir()
    return folder


def arguments(run: str) -> list[str]:
    data = ["--train", "train.src", "train.tgt", "--valid", "valid.src", "valid.tgt", "--model=gru"]
    return [*data, *(word for each in SETTINGS for word in ("--set", each)), "--out", run]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill so")
def test_a_kill_while_encoding_or_writing_the_arrays_changes_nothing(files: Path) -> None:
    killed = -signal.SIGKILL
    assert train(files, *arguments("run"), patch=KILLED_WHILE_ENCODING)[0] == killed
    assert not (files / "run").exists()

    assert train(files, *arguments("run"), patch=KILLED_WHILE_WRITING)[0] == killed
    left = {path.name for path in (files / "run" / "checkpoints").iterdir()}
    assert left == {"encoded.partial", "state.safetensors"}

    assert train(files, "--resume", "--out", "run") == (0, "")
    assert train(files, *arguments("whole")) == (0, "")
    weights = [(files / run / "model.safetensors").read_bytes() for run in ("run", "whole")]
    assert weights[0] == weights[1]
    assert not (files / "run" / "checkpoints").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no limit of file sizes")
def test_a_full_disk_is_named_before_anything_is_written(files: Path) -> None:
    import resource

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    status, errors = train(files, *arguments("full"), preexec_fn=small_files)
    assert status == 1
    assert errors.startswith(f"error: {files / 'temporary'}: File too large; training data are")
    assert errors.endswith("or set TMPDIR to another folder.\n")
    assert not (files / "full").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not tell resident memory")
def test_memory_grows_by_few_bytes_a_pair(tmp_path: Path) -> None:
    peaks = {}
    for count in (20_000, 120_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        memory.write_pairs(folder, count)
        settings = ["vocabulary.sample=10000", "training.batch_tokens=500"]
        measured = memory.measure(folder, 1, settings)
        assert measured["pairs"] == count
        peaks[count] = measured["first_step"]
    assert peaks[120_000] - peaks[20_000] < BYTES_A_PAIR * 100_000


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="this system does not tell resident memory")
def test_five_million_pairs_train_within_two_gibibytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.write_pairs(tmp_path, 5_000_000)
    measured = memory.measure(tmp_path)
    with capsys.disabled():
        print(f"\n{memory.line(measured)}")  # noqa: T201
    assert measured["pairs"] == 5_000_000
    assert measured["end"] < 2 << 30
