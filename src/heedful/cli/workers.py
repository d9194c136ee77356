"""One command as several processes that train together: started, signalled and ended as one.

Each worker is the same command again, with the variables of `torchrun`, so that both ways of starting are one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any, Final

from heedful.cli.signals import SIGNALS
from heedful.errors import OptionError
from heedful.worker_process import exit_with_parent

SUPERVISED: Final = "HEEDFUL_WORKER"
"""Environment variable of a worker that this module started."""
RUN_ID: Final = "TORCHELASTIC_RUN_ID"
LOST: Final = 75
"""Exit status of a worker that misses another one: the command says which one ended."""
POLL_SECONDS: Final = 0.05
GRACE_SECONDS: Final = 15.0
"""How long the others have to end by themselves once a worker has ended badly."""


def worker_index() -> int | None:
    """Return the index of this process among those that train together; None if it is alone."""
    return int(os.environ["RANK"]) if RUN_ID in os.environ else None


def is_supervised() -> bool:
    """Whether the command `heedful` has started this process, and speaks for it."""
    return SUPERVISED in os.environ


def end_with_parent() -> None:
    """End this process, if it is supervised, as soon as its parent ends in whatever way."""
    if is_supervised():
        threading.Thread(target=exit_with_parent, daemon=True).start()


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What to start on this machine."""

    devices: int
    nodes: int = 1

    def environments(self) -> Iterator[Mapping[str, str]]:
        """Yield the variables of each worker.

        Raises: OptionError if the machines of a training on several are not told where to meet.
        """
        names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
        if self.nodes > 1 and not all(os.environ.get(name) for name in names):
            raise OptionError(
                f"training.nodes is {self.nodes}: set {', '.join(names)} on each machine, the address and a free port "
                "of the first one, and the number of this one from 0; or start with torchrun"
            )
        if self.nodes > 1:
            address, port, node = (os.environ[name] for name in names)
        else:
            address, port, node = "127.0.0.1", str(_free_port()), "0"
        # gloo listens where the name of the machine points to, which may be an open network
        loopback = _loopback() if self.nodes == 1 else None
        inside = {} if loopback is None else {"GLOO_SOCKET_IFNAME": loopback}
        for local in range(self.devices):
            yield {
                **inside,
                RUN_ID: "heedful",
                SUPERVISED: "1",
                "MASTER_ADDR": address,
                "MASTER_PORT": port,
                "GROUP_RANK": node,
                "LOCAL_RANK": str(local),
                "RANK": str(int(node) * self.devices + local),
                "WORLD_SIZE": str(self.devices * self.nodes),
            }


@dataclass(frozen=True)
class Ended:
    """A worker that is the cause of the end of all."""

    index: int
    status: int
    """As of `subprocess`: negative for a signal."""
    message: str
    """What it wrote to standard error, unless that is the command's own."""


def run_workers(workers: Workers, arguments: Sequence[str]) -> tuple[int, Ended | None]:
    """Run `heedful` with these arguments as several processes, and return the exit status and who is to blame.

    The first worker writes to the terminal. Signals go to all of them. If one ends badly, the others are ended.
    """
    with contextlib.ExitStack() as stack:
        started: list[_Worker] = []
        stack.callback(_kill, started)
        signals = stack.enter_context(_Forwarding(started))
        for number, environment in enumerate(workers.environments()):
            errors = None
            if number:
                errors = stack.enter_context(tempfile.TemporaryFile())
            started.append(_start(arguments, environment, errors))
        _wait(started, signals)
        hung = [worker.index for worker in started if worker.process.poll() is None]
        _kill(started)
        return _judge(started, hung, signals.number)


@dataclass(frozen=True)
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    errors: IO[bytes] | None

    def message(self) -> str:
        if self.errors is None:
            return ""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()


def _start(
    arguments: Sequence[str], environment: Mapping[str, str], errors: IO[bytes] | None
) -> _Worker:
    process = subprocess.Popen(
        [sys.executable, "-m", "heedful", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,  # its end tells the worker that this process is gone
        stdout=None if errors is None else subprocess.DEVNULL,
        stderr=errors,
        # so that a Ctrl-C in the terminal comes once, from here
        start_new_session=True,
    )
    return _Worker(int(environment["RANK"]), process, errors)


class _Forwarding:
    """Sends the signals that end a command to all workers; a context manager."""

    def __init__(self, workers: Sequence[_Worker]):
        self.workers = workers
        self.number: int | None = None
        """The first signal."""
        self.before: dict[int, Any] = {}

    def __enter__(self) -> _Forwarding:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN and handler is not None:
                self.before[number] = handler
                signal.signal(number, self._forward)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.process.send_signal(number)


def _wait(workers: Sequence[_Worker], signals: _Forwarding) -> None:
    """Wait until all have ended, or `GRACE_SECONDS` after one ended badly."""
    end: float | None = None
    while any(worker.process.poll() is None for worker in workers):
        statuses = [worker.process.poll() for worker in workers]
        asked = {None, 0, *({128 + signals.number} if signals.number else ())}
        if end is None and not asked.issuperset(statuses):
            end = time.monotonic() + GRACE_SECONDS
        if end is not None and time.monotonic() > end:
            return
        time.sleep(POLL_SECONDS)


def _kill(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.process.wait()
        if worker.process.stdin is not None:
            worker.process.stdin.close()


def _judge(
    workers: Sequence[_Worker], hung: Sequence[int], number: int | None
) -> tuple[int, Ended | None]:
    """Return the exit status of the command, and the worker that the others ended for, if it has not said so."""
    status = workers[0].process.returncode
    bad = [
        Ended(worker.index, worker.process.returncode, worker.message())
        for worker in workers
        if worker.process.returncode not in (0, LOST, 128 + (number or 0))
        and worker.index not in hung
    ]
    killed = [each for each in bad if each.status < 0]
    if status > 0 and status != LOST and not killed:
        return status, None  # the first one has said why
    if killed or bad:
        return 1, (killed or bad)[0]
    if hung:
        return 1, Ended(hung[0], 0, "")
    return (1, Ended(-1, LOST, "")) if status == LOST else (status, None)


def _loopback() -> str | None:
    """Return the name of the network interface of this machine alone, if it has a usual one and none is chosen."""
    if "GLOO_SOCKET_IFNAME" in os.environ:
        return None
    return next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
