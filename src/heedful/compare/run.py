"""One training of a comparison: an ordinary run, and what is measured of it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heedful import run_folder
from heedful.compare.measure import answer_seconds, resident
from heedful.compare.outcome import Memory, Outcome, Point
from heedful.compare.plan import Job
from heedful.data.dataset import Dataset
from heedful.tasks.base import Task
from heedful.training.checkpoint_manager import CHECKPOINTS, STATE
from heedful.training.events import Event, Started
from heedful.training.loop import train_model

LEAST_OF_A_LABEL = 2
"""Examples of each label that a part of the data has, if there is room for them."""


def run_job(
    task: Task,
    job: Job,
    data: tuple[Dataset, Dataset],
    folder: Path,
    lengths: Sequence[int],
) -> Iterator[Event | Outcome]:
    """Train into `folder`, or go on with the run that is there, and measure: the last event is the outcome.

    A run that has finished is measured alone.
    """
    answer = task.answer
    before, parameters, went_on = resident(), 0, folder.exists()
    train = part_of(data[0], job.fraction, job.seed)
    if not _finished(folder):
        resume = (folder / CHECKPOINTS / STATE).exists()
        if folder.exists() and not resume:
            # killed before its first checkpoint: there is nothing to go on from
            shutil.rmtree(folder)
        for event in train_model(task, job.config, train, data[1], folder, resume=resume):
            if isinstance(event, Started):
                parameters = event.parameters
            yield event
    after = resident()
    trained = task.load(folder)
    events = _metrics(folder)
    last = events[-2]
    predicted = list(trained.predict(data[1].inputs, **answer.validation_search))
    statistics = answer.statistics(predicted, data[1])
    yield Outcome(
        contender=job.contender,
        seed=job.seed,
        fraction=job.fraction,
        quality=float(answer.value(statistics.sum(axis=0))),
        parameters=parameters or sum(each.numel() for each in trained.model.parameters()),
        train_examples=len(train),
        steps=last["step"],
        tokens=last["tokens"],
        training_seconds=last["training_seconds"],
        seconds=events[-1]["seconds"],
        scores=events[-1]["scores"],
        curve=tuple(_point(event, answer.compared_by) for event in events[:-1]),
        memory=None if went_on or before is None or after is None else _memory(before, after),
        latency=answer_seconds(trained, data[1], lengths) if job.fraction == 1 else {},
        threads=torch.get_num_threads(),
        statistics=statistics.tolist(),
    )


def part_of(data: Dataset, fraction: float, seed: int) -> Dataset:
    """Return a part of the training data: the same for every contender, and within all greater parts.

    The examples are drawn, those first that bring a label for the first or the second time: a part without
    some label could not be validated. At least one example is left; the order is that of the data.
    """
    if fraction == 1:
        return data
    shuffled = np.random.default_rng(seed).permutation(len(data)).tolist()
    labels, met = data.labels(), Counter[str]()
    first: list[int] = []
    for row in shuffled:
        if any(met[label] < LEAST_OF_A_LABEL for label in labels[row]):
            first.append(row)
        met.update(set(labels[row]))
    drawn = list(dict.fromkeys([*first, *shuffled]))
    return data.take(sorted(drawn[: max(1, round(fraction * len(data)))]))


def _finished(folder: Path) -> bool:
    """Say whether a run is complete."""
    if (folder / CHECKPOINTS / STATE).exists() or not (folder / run_folder.METRICS).exists():
        return False
    return bool(_metrics(folder)[-1]["event"] == "finished")


def _metrics(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / run_folder.METRICS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _point(event: dict[str, Any], metric: str) -> Point:
    return Point(
        epoch=event["epoch"],
        step=event["step"],
        tokens=event["tokens"],
        seconds=event["training_seconds"],
        quality=event["scores"][metric],
    )


def _memory(before: tuple[int, int], after: tuple[int, int]) -> Memory:
    return Memory(before=before[0], peak=after[1])
