"""The process of one training of `heedful compare`: a job as JSON on standard input, events as lines of JSON."""

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

KINDS = {"started": Started, "progress": Progress, "validated": Validated}
"""The events of a training that are handed on."""


def job_to_dict(task: str, job: Job, folder: Path, lengths: tuple[int, ...]) -> dict[str, Any]:
    """Write a job for the process that does it."""
    return {
        "task": task,
        "contender": job.contender,
        "seed": job.seed,
        "fraction": job.fraction,
        "config": job.config.model_dump(mode="json"),
        "folder": str(folder),
        "lengths": lengths,
    }


def work(values: dict[str, Any], write: Any) -> None:
    """Do a job and `write` what happens, each a dictionary."""
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
            for kind, form in KINDS.items():
                if isinstance(event, form):
                    value = asdict(event)
                    write({"kind": kind, "value": {k: _plain(v) for k, v in value.items()}})
    except (HeedfulError, MemoryError) as error:
        write({"kind": "failed", "value": str(error) or "not enough memory"})


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def main() -> None:
    """Serve the one job of this process."""
    # libraries may write to standard output; the events have it for themselves
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as events:
        os.dup2(2, 1)
        warnings.simplefilter("ignore")

        def write(event: dict[str, Any]) -> None:
            events.write(json.dumps(event) + "\n")
            events.flush()

        try:
            work(json.load(sys.stdin), write)
        except (KeyboardInterrupt, BrokenPipeError):
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
