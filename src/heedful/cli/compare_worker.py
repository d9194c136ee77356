"""Worker process of `heedful compare`: reads a job as JSON from standard input, writes events as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heedful.cli.signals import StopSignals
from heedful.compare.outcome import Outcome
from heedful.compare.plan import Job
from heedful.compare.run import run_job
from heedful.errors import HeedfulError, StoppedError
from heedful.tasks.table import TASKS
from heedful.training.events import Event, Finished, Progress, Started, Validated
from heedful.training.loop import never
from heedful.worker_process import INTERRUPTED, Write, serve

EVENT_TYPES = {"started": Started, "progress": Progress, "validated": Validated}
"""Kind in the JSON -> event, for the training events that are forwarded."""


def job_to_dict(task: str, job: Job, folder: Path, lengths: tuple[int, ...]) -> dict[str, Any]:
    """Serialize a job for the worker process."""
    return {
        "task": task,
        "contender": job.contender,
        "seed": job.seed,
        "fraction": job.fraction,
        "baseline": job.baseline,
        "config": job.config.model_dump(mode="json"),
        "folder": str(folder),
        "lengths": lengths,
    }


def run_serialized(
    values: dict[str, Any],
    write: Write,
    *,
    stop: Callable[[], bool] = never,
    seen: Callable[[Event | Outcome], object] = lambda event: None,
) -> None:
    """Run the job of `job_to_dict` and call `write` with each event as a dictionary, and `seen` with the event.

    Raises: StoppedError, with a checkpoint saved, once `stop` returned True.
    """
    task = TASKS[values["task"]]
    config: Any = task.configuration.model_validate(values["config"])
    job = Job(
        contender=values["contender"],
        seed=values["seed"],
        fraction=values["fraction"],
        config=config,
        baseline=values["baseline"],
    )
    try:
        data = task.reader.read_training(config.data)
        folder = Path(values["folder"])
        for event in run_job(task, job, data, folder, values["lengths"], stop=stop):
            seen(event)
            if isinstance(event, Outcome):
                write({"kind": "outcome", "value": event.to_dict()})
            for kind, event_type in EVENT_TYPES.items():
                if isinstance(event, event_type):
                    value = asdict(event)
                    write({"kind": kind, "value": {k: _to_json(v) for k, v in value.items()}})
    except StoppedError:
        raise
    except (HeedfulError, MemoryError) as error:
        write({"kind": "failed", "value": str(error) or "out of memory"})


def _to_json(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def work(values: dict[str, Any], write: Write) -> None:
    """Run a job; a SIGTERM within its training saves a checkpoint first."""
    with StopSignals() as signals:

        def seen(event: Event | Outcome) -> None:
            signals.is_deferred = not isinstance(event, Finished | Outcome)

        try:
            run_serialized(values, write, stop=signals, seen=seen)
        except StoppedError:
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    serve(work)
