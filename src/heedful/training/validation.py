"""Validation: the loss and the metrics on the validation data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch

from heedful.answers.base import Scores
from heedful.data.dataset import Dataset
from heedful.models.moving import moved_to_model
from heedful.tasks.base import LossModule, Task
from heedful.tasks.batches import Batches
from heedful.tasks.predictor import Predictor
from heedful.training.processes import Processes, own_rows

Value = TypeVar("Value")


class StopRequested(Exception):  # noqa: N818
    """Leaves the training or a validation, which was asked to stop."""


class Validation(NamedTuple):
    """Metrics on the validation data, and warnings about the predictions."""

    scores: Scores
    notices: list[str]
    not_finite: int | None = None
    """The index of the first batch whose loss is not finite; all metrics are then NaN."""


def validate(
    task: Task,
    trained: Predictor,
    loss: LossModule,
    batches: Batches[Any],
    data: Dataset,
    before_batch: Callable[[], object],
    processes: Processes,
) -> Validation:
    """Return the loss per prediction, the metrics and warnings; nothing is predicted if the loss is not finite.

    Of several processes each computes its share, and the first one the metrics of all predictions.

    Args:
        task: the task.
        trained: the model.
        loss: its loss module.
        batches: the encoded form of `data`.
        data: the validation data.
        before_batch: called before each batch; its exception ends the validation.
        processes: those that validate together.
    """
    loss.eval()
    found = _of_all(processes, lambda: _own_loss(loss, batches, before_batch, processes))
    not_finite = [each.not_finite for each in found if each.not_finite is not None]
    if not_finite:
        names = ("loss", *task.answer.metrics)
        return Validation(dict.fromkeys(names, math.nan), [], min(not_finite))
    mean = sum(each.total for each in found) / max(1, sum(each.predictions for each in found))
    predicted = _predict(task, trained, data, before_batch, processes)
    scored = task.validate(trained, data, predicted) if processes.is_first else None
    scores, notices = processes.share(scored) or ({}, [])
    return Validation({"loss": mean, **scores}, notices)


def _of_all(processes: Processes, compute: Callable[[], Value]) -> list[Value]:
    """Return what each process computes; if one is asked to stop, all are."""
    if processes.count == 1:
        return [compute()]
    try:
        found, is_stopped = compute(), False
    except StopRequested:
        found, is_stopped = None, True
    gathered = processes.gather((found, is_stopped))
    if any(stopped for _, stopped in gathered):
        raise StopRequested
    return [value for value, _ in gathered if value is not None]


class _Loss(NamedTuple):
    """The summed loss of a process."""

    total: float = 0.0
    predictions: int = 0
    not_finite: int | None = None


def _own_loss(
    loss: LossModule,
    batches: Batches[Any],
    before_batch: Callable[[], object],
    processes: Processes,
) -> _Loss:
    total, predictions = 0.0, 0
    shares = batches.shares(0, process=processes.index, processes=processes.count)
    with torch.inference_mode():
        for number, share in enumerate(shares):
            before_batch()
            if not share.is_counted:
                continue
            total += float(loss(moved_to_model(share.batch, loss)))
            if not math.isfinite(total):
                return _Loss(not_finite=number)
            predictions += loss.count_predictions(share.batch)
    return _Loss(total, predictions)


def _predict(
    task: Task,
    trained: Predictor,
    data: Dataset,
    before_batch: Callable[[], object],
    processes: Processes,
) -> list[Any]:
    """Return the predictions of all processes in the order of the data."""
    search = trained.answer.validation_search
    rows = own_rows(len(data), processes)
    own = data if processes.count == 1 else data.take(rows) if rows else None

    def predict() -> list[Any]:
        if own is None:
            return []
        return list(trained.predict_data(own, before_batch=before_batch, **search))

    parts = _of_all(processes, predict)
    if processes.count == 1:
        return parts[0]
    return [parts[row % processes.count][row // processes.count] for row in range(len(data))]
