"""Training that diverges: which step and examples, and the error that says how to go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import torch

from heedful.data.dataset import Dataset
from heedful.errors import DivergedError, count
from heedful.tasks.base import LossModule
from heedful.tasks.batches import Batches
from heedful.tasks.sections import TrainingConfig

LISTED: Final = 3
"""Examples of a batch that a message names."""


def describe_examples(
    loss: LossModule, batches: Batches[Any, Any], data: Dataset, epoch: int, batch: int
) -> str:
    """Name examples of a batch, preferring those whose loss by themselves is not finite.

    Args:
        loss: the loss module, whose mode is left as it was.
        batches: the encoded form of `data`.
        data: the training or validation data.
        epoch: the epoch, for the order of the examples.
        batch: the index of the batch in that epoch.
    """
    rows, alone = [], []
    for row, example in batches.one_by_one(epoch, batch):
        rows.append(row)
        if not math.isfinite(loss_without_update(loss, example)):
            alone.append(row)
    if 0 < len(alone) < len(rows):
        verb = "is" if len(alone) == 1 else "are"
        return f"of its batch of {len(rows)}, {_listed(data, alone)} {verb} the cause"
    return f"its batch is {_listed(data, rows)}"


def loss_without_update(loss: LossModule, batch: Any) -> float:
    """Return the validation loss of a batch, summed; the mode of the module is left as it was."""
    from lightning_fabric.utilities import move_data_to_device

    was_training = loss.training
    loss.eval()
    try:
        with torch.inference_mode():
            device = next(loss.parameters()).device
            return float(loss(move_data_to_device(batch, device)))
    finally:
        loss.train(was_training)


def diverged(
    what: str, options: TrainingConfig, *, step: int, checkpoint: int, learning_rate: float
) -> DivergedError:
    """Return the error for a training that diverged.

    Args:
        what: what was not finite, where, and for which examples.
        options: the training section.
        step: the step at which it was noticed.
        checkpoint: the step of the last checkpoint, which is kept.
        learning_rate: that of the step.
    """
    lower = lower_rate(options)
    cures = [f"set training.learning_rate lower, such as {lower:g}"]
    if not options.clip_norm:
        cures.append("clip the gradient (training.clip_norm=1)")
    if not options.skip_nonfinite:
        cures.append("leave out a few such steps (training.skip_nonfinite=3)")
    return DivergedError(
        f"training diverged: {what}. The learning rate was {learning_rate:.3g}. The run keeps its last checkpoint, of "
        f"step {checkpoint:,}, whose weights are finite; to go on from there, {', or '.join(cures)}",
        step=step,
        learning_rate=lower,
    )


def lower_rate(options: TrainingConfig) -> float:
    """Return a peak learning rate to try: the default, or a tenth if the one set is no higher than that.

    >>> lower_rate(TrainingConfig(learning_rate=1e30)), lower_rate(TrainingConfig(learning_rate=0.001))
    (0.003, 0.0001)
    """
    default: float = type(options).model_fields["learning_rate"].default
    tenth = float(f"{options.learning_rate / 10:.3g}")
    return default if options.learning_rate > default else tenth


def skipped_notices(described: Sequence[str]) -> list[str]:
    """Return a line about the steps of an epoch that were left out, if any."""
    if not described:
        return []
    more = f", and {len(described) - LISTED:,} more" if len(described) > LISTED else ""
    return [
        f"{count(len(described), 'step')} left out, whose loss or gradient was not finite: "
        f"{'; '.join(described[:LISTED])}{more}"
    ]


def total_skipped_notices(skipped: int) -> list[str]:
    """Return a line about all steps of a training that were left out, if any."""
    if not skipped:
        return []
    return [
        f"{count(skipped, 'step')} of the training left out, whose loss or gradient was not finite "
        "(training.skip_nonfinite)"
    ]


def _listed(data: Dataset, rows: Sequence[int]) -> str:
    shown = "; ".join(data.location(row) for row in rows[:LISTED])
    more = len(rows) - LISTED
    return f"{shown}{f'; and {more:,} more' if more > 0 else ''}"
