"""Run one training of a comparison and measure it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heedful import run_folder
from heedful.answers.base import Answer, Numbers
from heedful.compare.baselines import fit_baseline
from heedful.compare.measure import prediction_latency, resident_memory
from heedful.compare.outcome import Memory, Outcome, Point
from heedful.compare.plan import Job
from heedful.data.dataset import Dataset
from heedful.errors import DivergedError, RunError, StoppedError
from heedful.strict_json import number_from_json, numbers_from_json
from heedful.tasks.base import Task
from heedful.training.events import Event, Started, Stopped
from heedful.training.loop import never, train_model
from heedful.training.stage import Stage, read_stage
from heedful.training.staging import recover

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
    if job.baseline:
        yield run_baseline(task, job, data)
        return
    answer = task.answer
    before, parameters, resumed = resident_memory(), 0, folder.exists()
    train = training_subset(data[0], job.fraction, job.seed)
    recover(folder)
    stage = read_stage(folder)
    if stage is not Stage.FINISHED:
        resume = stage is Stage.TRAINING
        for event in _train(task, job, (train, data[1]), folder, stop, resume=resume):
            if isinstance(event, Started):
                parameters = event.parameters
            yield event
    after = resident_memory()
    trained = task.load(folder)
    *epochs, finished = run_folder.read_metrics(folder)
    last = epochs[-1]
    predictions = list(trained.predict_data(data[1], **answer.validation_search))
    statistics = trained.answer.statistics(predictions, data[1])
    yield Outcome(
        contender=job.contender,
        seed=job.seed,
        fraction=job.fraction,
        quality=_quality(answer, statistics),
        parameters=parameters or sum(each.numel() for each in trained.model.parameters()),
        train_examples=len(train),
        steps=last["step"],
        tokens=last["tokens"],
        training_seconds=last["training_seconds"],
        seconds=finished["seconds"],
        scores=numbers_from_json(finished["scores"]),
        curve=tuple(_curve_point(event, answer.primary_metric) for event in epochs),
        memory=None if resumed or before is None or after is None else _memory(before, after),
        latency=prediction_latency(trained, data[1], lengths) if job.fraction == 1 else {},
        threads=torch.get_num_threads(),
        statistics=statistics.tolist(),
    )


def run_baseline(task: Task, job: Job, data: tuple[Dataset, Dataset]) -> Outcome:
    """Fit a baseline and measure it."""
    train = training_subset(data[0], job.fraction, job.seed)
    start = time.monotonic()
    fitted, predict = fit_baseline(job.baseline, task, job.config, train, job.config.training.seed)
    predictions = predict(data[1])
    seconds = time.monotonic() - start
    statistics = fitted.statistics(predictions, data[1])
    return Outcome(
        contender=job.contender,
        seed=job.seed,
        fraction=job.fraction,
        quality=_quality(task.answer, statistics),
        train_examples=len(train),
        training_seconds=seconds,
        seconds=seconds,
        scores=fitted.scores(fitted.score(predictions, data[1])),
        threads=torch.get_num_threads(),
        statistics=statistics.tolist(),
    )


def _quality(answer: type[Answer[Any]], statistics: Numbers) -> float:
    """Return the metric of all examples.

    Raises: RunError if it is not finite.
    """
    quality = float(answer.value(statistics.sum(axis=0)))
    if not math.isfinite(quality):
        raise RunError(f"its {answer.primary_metric} on the validation data is not finite")
    return quality


def _train(
    task: Task,
    job: Job,
    data: tuple[Dataset, Dataset],
    folder: Path,
    stop: Callable[[], bool],
    *,
    resume: bool,
) -> Iterator[Event]:
    """Train into `folder`, or resume its run; what was left of a training that never began is replaced.

    Raises: StoppedError once `stop` returned True; RunError for a training that diverged.
    """
    try:
        for event in train_model(
            task, job.config, *data, folder, resume=resume, overwrite=not resume, stop=stop
        ):
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
