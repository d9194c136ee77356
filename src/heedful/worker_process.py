"""A worker process: a job as a line of JSON in, events as lines of JSON out. It ends when its parent does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Final

from heedful.errors import RunError
from heedful.strict_json import to_strict_json

INTERRUPTED: Final = 130
"""The exit status of a worker that was asked to end, or whose parent is gone."""
GRACE_SECONDS: Final = 60.0
"""How long a worker that is asked to end may take, before it is killed."""

Write = Callable[[Mapping[str, Any]], None]
"""Writes one event."""


def stream_events(
    command: Sequence[str],
    job: Mapping[str, Any],
    environment: Mapping[str, str] | None,
    *,
    killed: str = "it was killed, probably because it ran out of memory",
    directory: str | None = None,
) -> Generator[dict[str, Any], None, None]:
    """Run `command`, which calls `serve`, with a job, and yield its events.

    A process of its own isolates its memory, for measuring, and its failures, such as running out of memory. Closing
    the iterator asks it to end (SIGTERM) and waits for it; an exception meanwhile, such as a second Ctrl-C, kills it.

    Args:
        command: the program and its arguments.
        job: the job, as values for JSON.
        environment: the environment variables of the process; None: those of this one.
        killed: what to say of a process that was killed.
        directory: the working directory of the process; default: that of this one.

    Raises:
        RunError: the exit status of the process is not 0.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr_file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr_file,
            text=True,
            encoding="utf-8",
            env=None if environment is None else dict(environment),
            cwd=directory,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                # not closed while the process runs: its end tells the worker that this process is gone
                process.stdin.write(to_strict_json(job) + "\n")
                process.stdin.flush()
            yield from _events(process.stdout)
            if process.wait() != 0:
                stderr_file.seek(0)
                raise RunError(_exit_message(process.returncode, stderr_file.read(), killed))
        finally:
            try:
                _end(process)
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                process.stdout.close()


def serve(work: Callable[[dict[str, Any], Write], None]) -> None:
    """Be a worker process: read the job, do the work, and exit with status `INTERRUPTED` if asked to end.

    Ctrl-C and SIGHUP, which a terminal sends to the parent too, are left to it. What libraries print to standard
    output goes to standard error.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as events:
        os.dup2(2, 1)
        warnings.simplefilter("ignore")

        def write(event: Mapping[str, Any]) -> None:
            events.write(to_strict_json(event) + "\n")
            events.flush()

        job = json.loads(sys.stdin.readline())
        threading.Thread(target=exit_with_parent, daemon=True).start()
        try:
            work(job, write)
        except (KeyboardInterrupt, BrokenPipeError):
            sys.exit(INTERRUPTED)


def exit_with_parent() -> None:
    """Exit once standard input ends, which is when the parent has ended, however it did."""
    # not `sys.stdin`, whose lock would be held at the end of this process
    while os.read(0, 1):
        pass
    os._exit(INTERRUPTED)


def _events(stream: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in stream:
        try:
            event = json.loads(line)
        except ValueError:  # the process was killed while it wrote
            return
        yield event


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise


def _exit_message(status: int, stderr: str, killed: str) -> str:
    if status == -9:
        return f"its process ended early: {killed}"
    lines = [line for line in stderr.splitlines() if line.strip()]
    if status < 0:
        with contextlib.suppress(ValueError):
            lines.append(f"signal {signal.Signals(-status).name}")
    return f"its process ended early: {lines[-1] if lines else f'exit status {status}'}"
