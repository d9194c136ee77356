"""A job measured in a process of its own, as a stream of events."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass

from heedful.bench.results import Result
from heedful.bench.settings import Job
from heedful.errors import RunError

SETTING_UP = {"KERAS_BACKEND": "torch"}
"""Environment variables that the libraries of some contenders read when imported."""


@dataclass(frozen=True)
class Doing:
    """What a job is doing, and which share of it is done."""

    text: str
    share: float


def run_job(
    job: Job, environment: Mapping[str, str]
) -> Generator[Doing | list[Result], None, None]:
    """Measure in a new process that has this environment; closing the iterator ends the process.

    Yields what is being done, and the results of each case once it is measured.

    Raises:
        RunError: the process ended before its work did.
    """
    threads = {name: str(job.settings.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "heedful.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            encoding="utf-8",
            env={**environment, **threads, **SETTING_UP},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin as job_pipe:
                json.dump(job.to_dict(), job_pipe)
            for line in process.stdout:
                event = json.loads(line)
                if event["kind"] == "case":
                    yield [Result.from_dict(values) for values in event["results"]]
                else:
                    yield Doing(event["text"], event["share"])
            if process.wait() != 0:
                said.seek(0)
                raise RunError(_ended(process.returncode, said.read()))
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def _ended(status: int, said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    if status == -9:
        why = "it was killed, as a process is that takes more memory than there is; a smaller --memory leaves more out"
    else:
        why = lines[-1] if lines else f"its status was {status}"
    return f"the measuring process ended early: {why}"
