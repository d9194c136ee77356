"""A training in a process of its own, as a stream of events."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from heedful.errors import RunError


def events_of(
    command: Sequence[str], job: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Run `command`, give it the job as JSON on its standard input, and yield the lines of JSON that it writes.

    Each training has a process, so that its memory is its own to measure, and one that is killed for taking
    too much takes nothing with it. Closing the iterator ends the process.

    Raises:
        RunError: the process ended before its work did.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
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
                said.seek(0)
                raise RunError(_ended(process.returncode, said.read()))
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def _ended(status: int, said: str) -> str:
    if status == -9:
        return "its process was killed, as one is that takes more memory than there is"
    lines = [line for line in said.splitlines() if line.strip()]
    return f"its process ended early: {lines[-1] if lines else f'its status was {status}'}"
