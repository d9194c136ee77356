"""Run all trainings of a comparison in a folder from which an interrupted comparison resumes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heedful import run_folder
from heedful.atomic_files import remove_partial_files, writing
from heedful.compare.outcome import Outcome, load_outcome
from heedful.compare.plan import Job, Plan
from heedful.config import read_configuration
from heedful.data.dataset import Dataset
from heedful.errors import HeedfulError, RunError, WriteError
from heedful.run_lock import RunLock, check_unlocked
from heedful.stored_files import read_json
from heedful.strict_json import to_strict_json
from heedful.training.checks import texts_digest
from heedful.training.events import Event

RESULTS: Final = "comparison.json"
PAGE: Final = "comparison.html"
RUNS: Final = "runs"
MEASURED: Final = "measured"
FORMAT: Final = 1

Runner = Callable[[Job, Path], Iterator[Event | Outcome]]
"""(job, its run folder) -> events; the last one is the outcome."""


@dataclass(frozen=True)
class JobStarted:
    """A training starts or resumes."""

    job: Job
    number: int
    """Counted from 1."""
    total: int


@dataclass(frozen=True)
class JobFinished:
    """A training ended."""

    job: Job
    number: int
    total: int
    outcome: Outcome
    reused: bool
    """Whether the outcome is from an earlier call of the command."""


def data_digest(data: tuple[Dataset, Dataset]) -> str:
    """Return the digest of the training and validation data."""
    return texts_digest(data[0].texts(), data[1].texts())


def check_folder(plan: Plan, folder: Path, data: str) -> bool:
    """Check that the comparison can start or resume in `folder`, and return whether it resumes.

    `data` is the `data_digest`. No file is changed.

    Raises: RunError for a folder in use, or a comparison of other data or settings.
    """
    check_unlocked(folder)
    return _check_contents(plan, folder, data)


def _check_contents(plan: Plan, folder: Path, data: str) -> bool:
    marker = folder / RESULTS
    if not marker.exists():
        run_folder.check_free(folder)
        return False
    advice = "name another folder with --out"
    try:
        values = read_json(marker)
        version, identity = values["format"], (values["task"], values["data"])
    except (RunError, KeyError, TypeError):
        raise RunError(f"{marker} is not the file of a comparison; {advice}") from None
    if version != FORMAT:
        raise RunError(f"{marker} has format {version}, this Heedful reads {FORMAT}; {advice}")
    if identity != (plan.task.name, data):
        raise RunError(f"{folder} holds a comparison on other data; {advice}")
    for job in plan.jobs:
        _check_run(plan, folder / RUNS / job.name, job)
    return True


def _check_run(plan: Plan, run: Path, job: Job) -> None:
    file = run / run_folder.CONFIGURATION
    if not file.exists():
        return
    saved = read_configuration(plan.task.configuration, run_folder.configuration_file(run))
    # compares validated values, so that a list in the file equals a tuple
    if saved != job.config:
        key = _difference(saved.model_dump(), job.config.model_dump())
        raise RunError(
            f"{run} was trained with other settings ({key}); use the same settings, or name another "
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


def run_all(plan: Plan, folder: Path, data: str, runner: Runner) -> Generator[Any, None, None]:
    """Run all unfinished jobs and yield `JobStarted`, the training's events and `JobFinished` for each.

    Each outcome is saved at once. A failed training gives an outcome with an error, and runs again when the
    comparison is resumed. Another process that runs a comparison in the folder is refused.

    Raises: RunError if one runs, or the folder cannot be written to.
    """
    try:
        with RunLock(folder):
            yield from _run_locked(plan, folder, data, runner)
    except WriteError as error:
        raise RunError(
            f"{error}. What was measured is kept in {folder}: mend that, then run the same command again"
        ) from error


def unfinished(plan: Plan, folder: Path) -> list[tuple[Job, Path]]:
    """Return the jobs without a result in the folder of a comparison, each with its run folder."""
    outcomes = {job.name: _measured(folder, job) for job in plan.jobs}
    return [
        (job, folder / RUNS / job.name) for job in plan.jobs if not _is_done(outcomes[job.name])
    ]


def _measured(folder: Path, job: Job) -> Outcome | None:
    return load_outcome(folder / MEASURED / f"{job.name}.json")


def _is_done(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.error is None


def _run_locked(plan: Plan, folder: Path, data: str, runner: Runner) -> Iterator[Any]:
    if not _check_contents(plan, folder, data):
        write_results(folder, {"task": plan.task.name, "data": data, "runs": []})
    for name in (MEASURED, RUNS):
        with writing(folder / name):
            (folder / name).mkdir(exist_ok=True)
    for each in (folder, folder / MEASURED):
        remove_partial_files(each)
    for number, job in enumerate(plan.jobs, start=1):
        outcome = _measured(folder, job)
        reused = _is_done(outcome)
        if not reused:
            yield JobStarted(job, number, len(plan.jobs))
            outcome = yield from _run(job, folder / RUNS / job.name, runner)
            outcome.save(folder / MEASURED / f"{job.name}.json")
        assert outcome is not None
        yield JobFinished(job, number, len(plan.jobs), outcome, reused)


def _run(job: Job, run: Path, runner: Runner) -> Generator[Event, None, Outcome]:
    """Yield the training's events and return its outcome."""
    try:
        with closing(runner(job, run)) as events:  # type: ignore[type-var]
            for event in events:
                if isinstance(event, Outcome):
                    return event
                yield event
        error = "the training ended without a result"
    except (HeedfulError, OSError, MemoryError, RuntimeError) as problem:
        error = str(problem) or type(problem).__name__
    return Outcome(contender=job.contender, seed=job.seed, fraction=job.fraction, error=error)


def write_results(folder: Path, values: dict[str, Any]) -> None:
    """Write comparison.json atomically."""
    text = to_strict_json({"format": FORMAT, **values}, indent=1)
    run_folder.write_text(folder / RESULTS, text + "\n")
