"""Calibration of a finished model's probabilities and intervals on the validation data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from heedful.data.dataset import Dataset
from heedful.tasks.base import Task


def calibrate_run(
    task: Task,
    folder: Path,
    train: Dataset,
    valid: Dataset,
    device: torch.device,
    before_batch: Callable[[], object],
) -> list[str]:
    """Calibrate the model in a run folder and write the calibration to it.

    Returns notices: warnings about its validation predictions, and why it is not calibrated.

    Answers without calibration are left as they are. An exception of `before_batch`, called before each batch that
    is predicted, leaves the run as it was.
    """
    if not task.answer.has_calibration:
        return []
    trained = task.load(folder)
    trained.model.to(device)
    predicted = list(trained.predict_data(valid, before_batch=before_batch))
    notices: list[str] = trained.answer.warnings(predicted, valid)
    if train.texts() == valid.texts():
        reason = f"the validation {task.examples} are the training {task.examples}"
    else:
        trained.answer, reason = trained.answer.calibrated(predicted, valid)
        trained.answer.save(folder)
    return [*notices, *([f"{task.answer.uncalibrated_what}: {reason}"] if reason else [])]
