"""Worker process of `heedful compare`: reads a job as JSON from standard input, writes events as JSON lines."""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heedful.cli.command import INTERRUPTED
from heedful.compare.outcome import Outcome
from heedful.compare.plan import Job
from heedful.compare.run import run_job
from heedful.errors import HeedfulError
from heedful.tasks.table import TASKS
from heedful.training.events import Progress, Started, Validated

EVENT_TYPES = {"started": Started, "progress": Progress, "validated": Validated}
"""Kind in the JSON -> event, for the training events that are forwarded."""


def job_to_dict(task: str, job: Job, folder: Path, lengths: tuple[int, ...]) -> dict[str, Any]:
    """Serialize a job for the worker process."""
    return {
        "task": task,
        "contender": job.contender,
        "seed": job.seed,
        "fraction": job.fraction,
        "config": job.config.model_dump(mode="json"),
        "folder": str(folder),
        "lengths": lengths,
    }


def run_serialized(values: dict[str, Any], write: Any) -> None:
    """Run the job of `job_to_dict` and call `write` with each event as a dictionary."""
    task = TASKS[values["task"]]
    config: Any = task.configuration.model_validate(values["config"])
    job = Job(
        contender=values["contender"],
        seed=values["seed"],
        fraction=values["fraction"],
        config=config,
    )
    try:
        data = task.reader.read_training(config.data)
        for event in run_job(task, job, data, Path(values["folder"]), values["lengths"]):
            if isinstance(event, Outcome):
                write({"kind": "outcome", "value": event.to_dict()})
            for kind, event_type in EVENT_TYPES.items():
                if isinstance(event, event_type):
                    value = asdict(event)
                    write({"kind": kind, "value": {k: _to_json(v) for k, v in value.items()}})
    except (HeedfulError, MemoryError) as error:
        write({"kind": "failed", "value": str(error) or "out of memory"})


def _to_json(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def main() -> None:
    """Run the job of this process."""
    # reserves standard output for events: what libraries print to it goes to standard error
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as events:
        os.dup2(2, 1)
        warnings.simplefilter("ignore")

        def write(event: dict[str, Any]) -> None:
            events.write(json.dumps(event) + "\n")
            events.flush()

        try:
            run_serialized(json.load(sys.stdin), write)
        except (KeyboardInterrupt, BrokenPipeError):
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
