"""The process that measures: a job as JSON on standard input, events as lines of JSON on standard output.

A process of its own, because the number of threads and some libraries can be set up only once in a process, and
because one that runs out of memory must not take the person's command with it.
"""

from __future__ import annotations

from typing import Any

import torch

from heedful.bench.measure import Pace, measure_case
from heedful.bench.operations import OPERATIONS
from heedful.bench.settings import Job
from heedful.worker_process import Write, serve


def work(values: dict[str, Any], write: Write) -> None:
    """Measure every case of a job, given by its values, and write what happens as events."""
    job = Job.from_dict(values)
    operation, pace = OPERATIONS[job.operation], Pace()
    torch.set_num_threads(job.settings.threads)
    for number, changes in enumerate(job.cases):
        sizes = operation.case(changes)

        def tell(text: str, share: float, number: int = number) -> None:
            done = (number + share) / len(job.cases)
            write({"kind": "progress", "text": text, "share": done})

        results = measure_case(operation, sizes, job.settings, pace, tell)
        write({"kind": "case", "results": [result.to_dict() for result in results]})


if __name__ == "__main__":
    serve(work)
