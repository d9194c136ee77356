"""The process that measures: a job as JSON on standard input, events as lines of JSON on standard output.

A process of its own, because the number of threads and some libraries can be set up only once in a process, and
because one that runs out of memory must not take the person's command with it.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any, TextIO

import torch

from heedful.bench.measure import Pace, measure_case
from heedful.bench.operations import OPERATIONS
from heedful.bench.settings import Job


def work(job: Job, events: TextIO) -> None:
    """Measure every case of a job and write what happens as events."""

    def write(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    operation, pace = OPERATIONS[job.operation], Pace()
    torch.set_num_threads(job.settings.threads)
    for number, changes in enumerate(job.cases):
        sizes = operation.case(changes)

        def tell(text: str, share: float, number: int = number) -> None:
            write(kind="progress", text=text, share=(number + share) / len(job.cases))

        results = measure_case(operation, sizes, job.settings, pace, tell)
        write(kind="case", results=[result.to_dict() for result in results])


def main() -> None:
    """Serve the one job of this process."""
    # libraries may write to standard output; the events have it for themselves
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as events:
        os.dup2(2, 1)
        warnings.simplefilter("ignore")
        try:
            work(Job.from_dict(json.load(sys.stdin)), events)
        except KeyboardInterrupt:
            sys.exit(130)


if __name__ == "__main__":
    main()
