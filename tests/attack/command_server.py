"""A server that runs commands in forked children."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attack.forking_server import ForkingServer, answer_requests

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


class CommandServer(ForkingServer):
    """Runs commands."""

    module = "tests.attack.command_server"

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
    answer_requests(_answer)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if "wait" in request:
        return {"status": os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])}
    return {"pid": _start(**request)}


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
