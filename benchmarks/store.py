"""Results on disk: a folder for each class of processor, a file for each operation and number of threads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.vectors import folder_of
from heedful.bench.results import Result
from heedful.bench.settings import Job


@dataclass(frozen=True)
class Measured:
    """What one job found, with where and when."""

    job: Job
    machine: dict[str, str]
    date: str
    seconds: float
    """How long the whole job took."""
    results: tuple[Result, ...]
    vectors: str = "AVX-512"
    """The class of the processor: what vectors it has, or was limited to."""


def path_of(folder: Path, job: Job, vectors: str) -> Path:
    return folder / folder_of(vectors) / f"{job.operation}-{job.settings.threads}.json"


def save(measured: Measured, folder: Path) -> None:
    """Write what one job found; the file is there whole or not at all."""
    values = asdict(measured)
    path = path_of(folder, measured.job, measured.vectors)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    text = json.dumps(_rounded(values), indent=1, ensure_ascii=False)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)


def load(folder: Path) -> list[Measured]:
    """Read everything that was measured; other benchmarks keep their results beside it."""
    return [_read(path) for path in sorted(folder.glob("*/*-[0-9]*.json"))]


def done(folder: Path, job: Job, vectors: str) -> bool:
    """Whether this very job was measured already on this class of processor."""
    path = path_of(folder, job, vectors)
    return path.exists() and _read(path).job == job


def _read(path: Path) -> Measured:
    values = json.loads(path.read_text(encoding="utf-8"))
    return Measured(
        Job.from_dict(values["job"]),
        values["machine"],
        values["date"],
        values["seconds"],
        tuple(map(Result.from_dict, values["results"])),
        values["vectors"],
    )


def _rounded(value: Any) -> Any:
    """Five figures of every number: more are noise, and these files are kept."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
