"""A process with PyTorch imported that runs commands in forked children, so that each does not pay for the import.

It reads a request as JSON from each line of standard input and answers with a line of JSON. `CommandServer` starts it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0
"""Seconds after which a test gives up to wait; nothing is measured by it."""


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something that other processes do."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@dataclass(frozen=True)
class Command:
    """A command that runs in a process group of its own."""

    server: CommandServer
    pid: int
    folder: Path

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text("utf-8")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text("utf-8")

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit status; that of a killed process is negative."""
        status: int = self.server.ask({"wait": self.pid})["status"]
        return status


class CommandServer:
    """The server, as a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.command_server"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, folder: Path, *args: str, ignored: tuple[int, ...] = ()) -> Command:
        """Start `heedful` in a folder, which gets its output; some signals are ignored, as by `nohup`."""
        request = {"args": list(args), "folder": str(folder), "ignored": list(ignored)}
        return Command(self, self.ask(request)["pid"], folder)


def serve() -> None:
    import torch

    from heedful.api import train

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:  # imports what a training needs
        rows = [{"text": "good film", "label": "yes"}, {"text": "bad film", "label": "no"}] * 12
        tiny = {"epochs": 1, "keep_freed_memory": False}
        train("classify", train=rows, out=f"{folder}/run", encoder="none", training=tiny)
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            request = json.loads(line)
            if "wait" in request:
                status = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
                answer = {"status": status}
            else:
                answer = {"pid": _start(**request)}
            print(json.dumps(answer), file=answers, flush=True)


def _start(args: list[str], folder: str, ignored: list[int]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        os.chdir(folder)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        for descriptor, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
            flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(name, flags), descriptor)
        status = _run(args)
    finally:
        os._exit(status)


def _run(args: list[str]) -> int:
    from heedful.cli import main

    sys.argv = ["heedful", *args]
    try:
        main.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve()
