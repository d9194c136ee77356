"""All trainings of a comparison, one after the other, in a folder that can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heedful import run_folder
from heedful.compare.outcome import Outcome, load_outcome
from heedful.compare.plan import Job, Plan
from heedful.config import read_configuration
from heedful.data.dataset import Dataset
from heedful.errors import HeedfulError, RunError
from heedful.training.checks import texts_digest
from heedful.training.events import Event

RESULTS: Final = "comparison.json"
PAGE: Final = "comparison.html"
RUNS: Final = "runs"
MEASURED: Final = "measured"
FORMAT: Final = 1

Runner = Callable[[Job, Path], Iterator[Event | Outcome]]
"""(job, its run folder) -> what happens; the last event is the outcome."""


@dataclass(frozen=True)
class JobBegan:
    """A training begins, or goes on."""

    job: Job
    number: int
    """Counted from 1."""
    of: int


@dataclass(frozen=True)
class JobEnded:
    """A training ended."""

    job: Job
    number: int
    of: int
    outcome: Outcome
    again: bool
    """Whether it had ended in an earlier call of the command."""


def data_digest(data: tuple[Dataset, Dataset]) -> str:
    """Return a fingerprint of the training and validation data."""
    return texts_digest(data[0].texts(), data[1].texts())


def check_folder(plan: Plan, folder: Path, data: str) -> bool:
    """Check, and change nothing, that the comparison can be written to `folder`, or go on there.

    Returns whether there is one to go on with; `data` is the `data_digest`.

    Raises: RunError for a folder that holds something else, or a comparison of other data or settings.
    """
    marker = folder / RESULTS
    if not marker.exists():
        run_folder.check_free(folder)
        return False
    other = "name another folder with --out"
    try:
        values = json.loads(marker.read_text(encoding="utf-8"))
        found = values["format"], values["task"], values["data"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(f"{marker} is not that of a comparison; {other}") from None
    if found[0] != FORMAT:
        raise RunError(f"{marker} has format {found[0]}, this Heedful reads {FORMAT}; {other}")
    if found[1:] != (plan.task.name, data):
        raise RunError(f"{folder} holds a comparison on other data; {other}")
    for job in plan.jobs:
        _check_run(plan, folder / RUNS / job.name, job)
    return True


def _check_run(plan: Plan, run: Path, job: Job) -> None:
    file = run / run_folder.CONFIGURATION
    if not file.exists():
        return
    there = read_configuration(plan.task.configuration, file)
    # the validated values, as the file's: a tuple that was read is a tuple again
    if there != job.config:
        key = _difference(there.model_dump(), job.config.model_dump())
        raise RunError(
            f"{run} was trained with other settings ({key}); go on with the same ones, or name another "
            "folder with --out"
        )


def _difference(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> str:
    """Name the first setting that differs."""
    for key in dict.fromkeys([*one, *other]):
        here, there = one.get(key), other.get(key)
        if here == there:
            continue
        if isinstance(here, dict) and isinstance(there, dict):
            return _difference(here, there, f"{prefix}{key}.")
        return f"{prefix}{key} was {here!r}, is now {there!r}"
    return ""


def run_all(plan: Plan, folder: Path, data: str, runner: Runner) -> Iterator[Any]:
    """Run what has not ended yet, and yield what happens: `JobBegan`, the training's events, `JobEnded`.

    An outcome is kept as soon as it is there. A training that fails is an outcome with an error, and is tried
    again when the comparison is gone on with.
    """
    (folder / MEASURED).mkdir(parents=True, exist_ok=True)
    (folder / RUNS).mkdir(exist_ok=True)
    if not (folder / RESULTS).exists():
        write_results(folder, {"task": plan.task.name, "data": data, "runs": []})
    for number, job in enumerate(plan.jobs, start=1):
        file = folder / MEASURED / f"{job.name}.json"
        outcome = load_outcome(file)
        again = outcome is not None and outcome.error is None
        if not again:
            yield JobBegan(job, number, len(plan.jobs))
            outcome = yield from _run(job, folder / RUNS / job.name, runner)
            outcome.save(file)
        assert outcome is not None
        yield JobEnded(job, number, len(plan.jobs), outcome, again)


def _run(job: Job, run: Path, runner: Runner) -> Generator[Event, None, Outcome]:
    """Hand the training's events on and return its outcome."""
    try:
        with closing(runner(job, run)) as events:  # type: ignore[type-var]
            for event in events:
                if isinstance(event, Outcome):
                    return event
                yield event
        error = "it ended without a result"
    except (HeedfulError, OSError, MemoryError, RuntimeError) as problem:
        error = str(problem) or type(problem).__name__
    return Outcome(contender=job.contender, seed=job.seed, fraction=job.fraction, error=error)


def write_results(folder: Path, values: dict[str, Any]) -> None:
    """Write comparison.json, whole or not at all."""
    text = json.dumps({"format": FORMAT, **values}, indent=1, allow_nan=False)
    run_folder.write_text(folder / RESULTS, text + "\n")
