"""Cases that each run in a process of their own, with a limit of time and memory, and what came of each."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from heedful.errors import MESSAGE, HeedfulError

SECONDS = 60
"""A case that takes longer hangs; the usual one takes some milliseconds, on a machine that does much else."""
MEMORY = 1024 * 2**20
"""Bytes of address space that a case may add to what the process has."""
LINES = 12
"""A message of more lines is not one of a few lines."""
_UNSEEN = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Outcome(NamedTuple):
    """What came of a case."""

    kind: str
    """result, refused, or what is wrong: traceback, message, memory, hang, crash, executed."""
    detail: str

    @property
    def is_right(self) -> bool:
        """Whether it is a result or an error of one message."""
        return self.kind in ("result", "refused")


def isolated(
    case: Callable[[], object], folder: Path, *, seconds: int = SECONDS, memory: int = MEMORY
) -> Outcome:
    """Run a case in a fork of this process, in a folder where anything that is executed leaves a file `canary`."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _run(case, folder, writer, memory)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], seconds)
    text = b""
    while ready and (part := os.read(reader, 1 << 16)):
        text += part
    os.close(reader)
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not ready:
        return Outcome("hang", f"no end after {seconds} seconds")
    if (folder / "canary").exists():
        return Outcome("executed", "a command was executed")
    return (
        Outcome(*json.loads(text))
        if text
        else Outcome("crash", f"the process ended with status {status}")
    )


def _run(case: Callable[[], object], folder: Path, writer: int, memory: int) -> None:
    """Run the case and write its outcome to the pipe; the process ends here."""
    try:
        os.chdir(folder)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os.write(writer, json.dumps(outcome_of(case)).encode())
    finally:
        os._exit(0)


def outcome_of(case: Callable[[], object]) -> Outcome:
    """Run a case in this process."""
    try:
        case()
    except HeedfulError as error:
        return judged(str(error))
    except MemoryError as error:
        return Outcome("memory", _last_lines(error))
    except BaseException as error:
        return Outcome("traceback", _last_lines(error))
    return Outcome("result", "")


def judged(message: str) -> Outcome:
    """Return the outcome of an error: whether its message is short, of few lines and without control characters."""
    if (
        len(message) > MESSAGE + 100
        or message.count("\n") >= LINES
        or _UNSEEN.search(message)
        or not message
    ):
        return Outcome("message", message[:3000])
    return Outcome("refused", message)


def _last_lines(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__)[-4:])
    return f"{frames}{type(error).__name__}: {str(error)[:300]}"
