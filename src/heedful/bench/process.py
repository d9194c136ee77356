"""A job measured in a process of its own, as a stream of events."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass

from heedful.bench.results import Result
from heedful.bench.settings import Job
from heedful.worker_process import stream_events

SETTING_UP = {"KERAS_BACKEND": "torch"}
"""Environment variables that the libraries of some contenders read when imported."""
KILLED = "it was killed, as a process is that takes more memory than there is; a smaller --memory leaves more out"


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
    command = [sys.executable, "-m", "heedful.bench.worker"]
    variables = {**environment, **threads, **SETTING_UP}
    with closing(stream_events(command, job.to_dict(), variables, killed=KILLED)) as events:
        for event in events:
            if event["kind"] == "case":
                yield [Result.from_dict(values) for values in event["results"]]
            else:
                yield Doing(event["text"], event["share"])
