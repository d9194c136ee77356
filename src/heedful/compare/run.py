"""Run one training of a comparison and measure it."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heedful import run_folder
from heedful.compare.measure import prediction_latency, resident_memory
from heedful.compare.outcome import Memory, Outcome, Point
from heedful.compare.plan import Job
from heedful.data.dataset import Dataset
from heedful.errors import DivergedError, RunError, StoppedError
from heedful.strict_json import number_from_json, numbers_from_json
from heedful.tasks.base import Task
from heedful.training.checkpoint_manager import has_checkpoint
from heedful.training.events import Event, Started, Stopped
from heedful.training.loop import never, train_model

MIN_EXAMPLES_PER_LABEL = 2
"""Examples of each label to include in a subset of the data, if its size permits."""


def run_job(
    task: Task,
    job: Job,
    data: tuple[Dataset, Dataset],
    folder: Path,
    lengths: Sequence[int],
    *,
    stop: Callable[[], bool] = never,
) -> Iterator[Event | Outcome]:
    """Train into `folder`, or resume its run, and measure it; the last event is the outcome.

    A finished run is only measured.

    Raises: StoppedError once `stop` returned True within the training; RunError for a training that diverged or a
        metric that is not finite; the other errors of `train_model`.
    """
    answer = task.answer
    before, parameters, resumed = resident_memory(), 0, folder.exists()
    train = training_subset(data[0], job.fraction, job.seed)
    if not _finished(folder):
        for event in _train(task, job, (train, data[1]), folder, stop):
            if isinstance(event, Started):
                parameters = event.parameters
            yield event
    after = resident_memory()
    trained = task.load(folder)
    *epochs, finished = _metrics(folder)
    last = epochs[-1]
    predictions = list(trained.predict_data(data[1], **answer.validation_search))
    statistics = answer.statistics(predictions, data[1])
    quality = float(answer.value(statistics.sum(axis=0)))
    if not math.isfinite(quality):
        raise RunError(f"its {answer.primary_metric} on the validation data is not finite")
    yield Outcome(
        contender=job.contender,
        seed=job.seed,
        fraction=job.fraction,
        quality=quality,
        parameters=parameters or sum(each.numel() for each in trained.model.parameters()),
        train_examples=len(train),
        steps=last["step"],
        tokens=last["tokens"],
        training_seconds=last["training_seconds"],
        seconds=finished["seconds"],
        scores=numbers_from_json(finished["scores"]),
        curve=tuple(_curve_point(event, answer.primary_metric) for event in epochs),
        memory=None if resumed else _memory(before, after),
        latency=prediction_latency(trained, data[1], lengths) if job.fraction == 1 else {},
        threads=torch.get_num_threads(),
        statistics=statistics.tolist(),
    )


def _train(
    task: Task, job: Job, data: tuple[Dataset, Dataset], folder: Path, stop: Callable[[], bool]
) -> Iterator[Event]:
    """Train into `folder`, or resume its run.

    Raises: StoppedError once `stop` returned True; RunError for a training that diverged.
    """
    resume = has_checkpoint(folder)
    if folder.exists() and not resume:
        # killed before its first checkpoint: nothing to resume from
        shutil.rmtree(folder)
    try:
        for event in train_model(task, job.config, *data, folder, resume=resume, stop=stop):
            yield event
            if isinstance(event, Stopped):
                raise StoppedError(f"the training in {folder} was asked to stop")
    except DivergedError as error:
        raise RunError(
            f"{error.problem} Set training.learning_rate lower for this contender, such as {error.learning_rate:g}, "
            "and name another folder with --out"
        ) from error


def training_subset(data: Dataset, fraction: float, seed: int) -> Dataset:
    """Return a random subset of the training data, nested in all larger subsets of the same seed.

    Examples with a label that has fewer than `MIN_EXAMPLES_PER_LABEL` examples so far come first: a model that has
    not seen some label could not be validated. The subset has at least one example, in the order of the data.
    """
    if fraction == 1:
        return data
    shuffled = np.random.default_rng(seed).permutation(len(data)).tolist()
    labels, label_counts = data.labels(), Counter[str]()
    first: list[int] = []
    for row in shuffled:
        if any(label_counts[label] < MIN_EXAMPLES_PER_LABEL for label in labels[row]):
            first.append(row)
        label_counts.update(set(labels[row]))
    ordered = list(dict.fromkeys([*first, *shuffled]))
    return data.take(sorted(ordered[: max(1, round(fraction * len(data)))]))


def _finished(folder: Path) -> bool:
    """Whether the run in `folder` has finished."""
    if has_checkpoint(folder) or not (folder / run_folder.METRICS).exists():
        return False
    return bool(_metrics(folder)[-1]["event"] == "finished")


def _metrics(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / run_folder.METRICS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _curve_point(event: dict[str, Any], metric: str) -> Point:
    return Point(
        epoch=event["epoch"],
        step=event["step"],
        tokens=event["tokens"],
        seconds=event["training_seconds"],
        quality=number_from_json(event["scores"][metric]),
    )


def _memory(before: tuple[int, int] | None, after: tuple[int, int] | None) -> Memory | None:
    if before is None or after is None:
        return None
    return Memory(before=before[0], peak=after[1])
