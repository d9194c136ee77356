"""Validation: the loss and the metrics on the validation data."""

from __future__ import annotations

from typing import Any

import torch

from heedful.answers.base import Scores
from heedful.data.dataset import Dataset
from heedful.tasks.base import LossModule, Task
from heedful.tasks.batches import Batches
from heedful.tasks.predictor import Predictor


def validate(
    task: Task,
    trained: Predictor,
    loss: LossModule,
    batches: Batches[Any, Any],
    data: Dataset,
) -> Scores:
    """Return the loss per prediction and the metrics; `batches` is the encoded form of `data`."""
    from lightning_fabric.utilities import move_data_to_device

    device = next(trained.model.parameters()).device
    loss.eval()
    total, predictions = 0.0, 0
    with torch.inference_mode():
        for batch in batches.epoch(0):
            total += float(loss(move_data_to_device(batch, device)))
            predictions += loss.count_predictions(batch)
    return {"loss": total / max(1, predictions), **task.validate(trained, data)}
