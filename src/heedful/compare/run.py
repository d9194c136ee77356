"""Run one training of a comparison and measure it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heedful import run_folder
from heedful.compare.measure import prediction_latency, resident_memory
from heedful.compare.outcome import Memory, Outcome, Point
from heedful.compare.plan import Job
from heedful.data.dataset import Dataset
from heedful.tasks.base import Task
from heedful.training.events import Event, Started
from heedful.training.loop import train_model
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
) -> Iterator[Event | Outcome]:
    """Train into `folder`, or resume its run, and measure it; the last event is the outcome.

    A finished run is only measured.
    """
    answer = task.answer
    before, parameters, resumed = resident_memory(), 0, folder.exists()
    train = training_subset(data[0], job.fraction, job.seed)
    recover(folder)
    stage = read_stage(folder)
    if stage is not Stage.FINISHED:
        resume = stage is Stage.TRAINING
        events = train_model(
            task, job.config, train, data[1], folder, resume=resume, overwrite=not resume
        )
        for event in events:
            if isinstance(event, Started):
                parameters = event.parameters
            yield event
    after = resident_memory()
    trained = task.load(folder)
    metrics = run_folder.read_metrics(folder)
    last = metrics[-2]
    predictions = list(trained.predict(data[1].inputs, **answer.validation_search))
    statistics = trained.answer.statistics(predictions, data[1])
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
        seconds=metrics[-1]["seconds"],
        scores=metrics[-1]["scores"],
        curve=tuple(_curve_point(line, answer.primary_metric) for line in metrics[:-1]),
        memory=None if resumed or before is None or after is None else _memory(before, after),
        latency=prediction_latency(trained, data[1], lengths) if job.fraction == 1 else {},
        threads=torch.get_num_threads(),
        statistics=statistics.tolist(),
    )


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
        quality=event["scores"][metric],
    )


def _memory(before: tuple[int, int], after: tuple[int, int]) -> Memory:
    return Memory(before=before[0], peak=after[1])
