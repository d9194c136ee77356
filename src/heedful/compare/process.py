"""Run a training in a subprocess and stream its events."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from heedful.errors import RunError


def stream_events(
    command: Sequence[str], job: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Run `command` with the job as JSON on standard input, and yield the lines of JSON of its standard output.

    A process per training isolates its memory, for measuring, and its failures, such as running out of memory.
    Closing the iterator terminates the process.

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
            env=dict(environment),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                json.dump(job, pipe)
            for line in process.stdout:
                yield json.loads(line)
            if process.wait() != 0:
                stderr_file.seek(0)
                raise RunError(_exit_message(process.returncode, stderr_file.read()))
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def _exit_message(status: int, stderr: str) -> str:
    if status == -9:
        return "its process was killed, probably because it ran out of memory"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return f"its process ended early: {lines[-1] if lines else f'exit status {status}'}"
