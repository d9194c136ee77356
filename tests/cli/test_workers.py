"""`heedful train --devices N`: one command, several processes, one end and one message."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heedful.cli import workers
from heedful.cli.train_workers import _why
from heedful.cli.workers import LOST, Ended, Workers, worker_index
from heedful.errors import OptionError
from heedful.run_folder import read_metadata
from heedful.training.checkpoint import Position, read_position
from tests.attack.command_server import wait_until

ROOT = Path(__file__).resolve().parents[2]
TEXTS = "text\tlabel\n" + "".join(
    f"film {n} was {'bad' if n % 3 else 'good'}\t{n % 2}\n" for n in range(60)
)
ENDLESS = (
    "train", "classify", "--train", "texts.tsv", "--encoder", "window", "--set", "encoder.hidden=4", "--epochs",
    "100000", "--set", "training.keep_freed_memory=false", "--threads", "1", "--out", "run",
    "--set", "training.checkpoint_steps=1", "--devices", "2",
)  # fmt: skip
RESUME = "Resume with: heedful train classify --resume --out run"
needs_posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def test_workers_get_the_variables_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Workers(devices=2).environments()
    assert (one["RANK"], two["RANK"], one["WORLD_SIZE"]) == ("0", "1", "2")
    assert one["MASTER_PORT"] == two["MASTER_PORT"]
    assert worker_index() is None
    for name, value in two.items():
        monkeypatch.setenv(name, value)
    assert worker_index() == 1
    assert workers.is_supervised()


def test_machines_have_to_know_where_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OptionError, match=r"nodes is 2: set MASTER_ADDR, MASTER_PORT, NODE_RANK"):
        list(Workers(devices=2, nodes=2).environments())
    for name, value in (("MASTER_ADDR", "here"), ("MASTER_PORT", "1234"), ("NODE_RANK", "1")):
        monkeypatch.setenv(name, value)
    found = list(Workers(devices=2, nodes=2).environments())
    assert [each["RANK"] for each in found] == ["2", "3"]
    assert {each["MASTER_ADDR"] for each in found} == {"here"}


def run_script(monkeypatch: pytest.MonkeyPatch, script: str) -> tuple[int, Ended | None]:
    """Run a Python script in the place of the command, as two workers; RANK tells it which one it is."""
    real = subprocess.Popen

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        return real([sys.executable, "-c", "import os, sys, time\n" + script], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(workers.subprocess, "Popen", start)
    monkeypatch.setattr(workers, "GRACE_SECONDS", 0.5)
    return workers.run_workers(Workers(devices=2), [])


FIRST = "first = os.environ['RANK'] == '0'\n"


@needs_posix
@pytest.mark.parametrize(
    ("script", "status", "ended"),
    [
        ("", 0, None),
        ("sys.exit(2)", 2, None),
        ("sys.exit(1 if first else 75)", 1, None),
        (
            "sys.exit('error: no file') if not first else sys.exit(75)",
            1,
            Ended(1, 1, "error: no file"),
        ),
        ("os.kill(os.getpid(), 9) if not first else sys.exit(75)", 1, Ended(1, -9, "")),
        ("os.kill(os.getpid(), 9) if first else sys.exit(75)", 1, Ended(0, -9, "")),
        ("time.sleep(60) if not first else sys.exit(75)", 1, Ended(1, 0, "")),
        ("sys.exit(75)", 1, Ended(-1, LOST, "")),
    ],
)
def test_the_one_that_failed_is_named(
    monkeypatch: pytest.MonkeyPatch, script: str, status: int, ended: Ended | None
) -> None:
    assert run_script(monkeypatch, FIRST + script) == (status, ended)


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (Ended(1, -9, ""), "process 1 of the 2 that train together was ended by SIGKILL, perhaps"),
        (Ended(1, 0, ""), "process 1 of the 2 that train together did not answer in time"),
        (Ended(1, 1, "error: no file"), "process 1 of the 2 that train together failed: no file"),
        (Ended(-1, LOST, ""), "a process on another machine ended"),
    ],
)
def test_the_message_says_what_became_of_it(ended: Ended, message: str) -> None:
    assert _why(ended, Workers(devices=2), 5.0).startswith(message)


def position(run: Path) -> Position | None:
    for name in ("state.safetensors", "state.previous.safetensors"):
        with contextlib.suppress(Exception):
            return read_position(read_metadata(run / "checkpoints" / name))
    return None


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]


@contextlib.contextmanager
def endless(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Start a training of two processes, and give it once it takes steps."""
    (folder / "texts.tsv").write_text(TEXTS)
    process = start(folder, *ENDLESS, *more)
    try:
        wait_until(
            lambda: (
                process.poll() is not None
                or ((here := position(folder / "run")) is not None and here.step >= 3)
            )
        )
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def start(folder: Path, *words: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "heedful", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=-1,
    )


def output(process: subprocess.Popen[str]) -> str:
    return process.communicate()[1]


def is_gone(pid: int) -> Callable[[], bool]:
    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return gone


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


@pytest.mark.long
@needs_proc
def test_a_killed_worker_ends_the_command_with_one_message_and_the_run_goes_on(
    tmp_path: Path,
) -> None:
    with endless(tmp_path) as process:
        os.kill(children(process.pid)[1], signal.SIGKILL)
        errors = output(process)
    assert process.returncode == 1
    assert errors.startswith("error: process 1 of the 2 that train together was ended by SIGKILL")
    assert errors.splitlines()[1:] == [RESUME]
    again = start(
        tmp_path, "train", "classify", "--resume", "--out", "run", "--devices", "3", "--quiet",
        "--set", "training.checkpoint_steps=5",
    )  # fmt: skip
    before = position(tmp_path / "run")
    assert before is not None
    wait_until(
        lambda: (
            again.poll() is not None
            or ((here := position(tmp_path / "run")) is not None and here.step > before.step + 5)
        )
    )
    again.send_signal(signal.SIGTERM)
    assert "interrupted by SIGTERM; saved after step" in output(again)
    assert again.returncode == 128 + signal.SIGTERM


@pytest.mark.long
@needs_proc
def test_a_worker_that_hangs_is_named(tmp_path: Path) -> None:
    with endless(tmp_path, "--set", "training.peer_seconds=5") as process:
        os.kill(children(process.pid)[1], signal.SIGSTOP)
        errors = output(process)
    assert errors.startswith("error: process 1 of the 2 that train together did not answer in ti")
    assert process.returncode == 1


@pytest.mark.long
@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_after_a_step(tmp_path: Path, number: int) -> None:
    with endless(tmp_path) as process:
        started = children(process.pid)
        process.send_signal(number)
        errors = output(process)
    assert process.returncode == 128 + number
    assert "saved after step" in errors
    for pid in started:
        wait_until(is_gone(pid))


@pytest.mark.long
@needs_proc
def test_workers_end_with_their_command(tmp_path: Path) -> None:
    with endless(tmp_path) as process:
        started = children(process.pid)
        process.kill()
    for pid in started:
        wait_until(is_gone(pid))


@pytest.mark.long
@needs_posix
def test_torchrun_starts_the_same_training(tmp_path: Path) -> None:
    (tmp_path / "texts.tsv").write_text(TEXTS)
    words = [each for each in ENDLESS if each not in ("--devices", "2")]
    words[words.index("100000")] = "2"
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
    process = start(tmp_path, *words, launcher=launcher)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert out.count("epoch 2: training loss") == 1
    assert (tmp_path / "run" / "report.html").exists()
