"""Validation: the loss and the metrics on the validation data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from heedful.answers.base import Scores
from heedful.data.dataset import Dataset
from heedful.tasks.base import LossModule, Task
from heedful.tasks.batches import Batches
from heedful.tasks.predictor import Predictor


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
) -> Validation:
    """Return the loss per prediction, the metrics and warnings; nothing is predicted if the loss is not finite.

    Args:
        task: the task.
        trained: the model.
        loss: its loss module.
        batches: the encoded form of `data`.
        data: the validation data.
        before_batch: called before each batch; its exception ends the validation.
    """
    from lightning_fabric.utilities import move_data_to_device

    device = next(trained.model.parameters()).device
    loss.eval()
    total, predictions = 0.0, 0
    with torch.inference_mode():
        for number, batch in enumerate(batches.epoch(0)):
            before_batch()
            total += float(loss(move_data_to_device(batch, device)))
            if not math.isfinite(total):
                names = ("loss", *task.answer.metrics)
                return Validation(dict.fromkeys(names, math.nan), [], number)
            predictions += loss.count_predictions(batch)
    scores, notices = task.validate(trained, data, before_batch=before_batch)
    return Validation({"loss": total / max(1, predictions), **scores}, notices)
