"""Validation: the loss and the metrics on the validation data."""

from __future__ import annotations

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


def validate(
    task: Task,
    trained: Predictor,
    loss: LossModule,
    batches: Batches[Any],
    data: Dataset,
) -> Validation:
    """Return the loss per prediction, the metrics and warnings; `batches` is the encoded form of `data`."""
    from lightning_fabric.utilities import move_data_to_device

    device = next(trained.model.parameters()).device
    loss.eval()
    total, predictions = 0.0, 0
    with torch.inference_mode():
        for batch in batches.epoch(0):
            total += float(loss(move_data_to_device(batch, device)))
            predictions += loss.count_predictions(batch)
    scores, notices = task.validate(trained, data)
    return Validation({"loss": total / max(1, predictions), **scores}, notices)
