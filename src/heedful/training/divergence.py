"""Training that diverges: what is not finite, at which step and examples, and the error that says how to go on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch

from heedful.data.dataset import Dataset
from heedful.errors import DivergedError, count
from heedful.models.moving import moved_to_model
from heedful.ops.finite import all_finite
from heedful.tasks.base import LossModule
from heedful.tasks.batches import Batches
from heedful.tasks.sections import TrainingConfig
from heedful.training.checkpoint import Position

LISTED: Final = 3
"""Examples of a batch, and steps of an epoch, that a message names."""

Encoded = tuple[Batches[Any], Dataset]
"""Encoded examples, and the data that they are from."""


@dataclass(kw_only=True)
class DivergenceGuard:
    """Counts the steps that are left out, and raises DivergedError where training cannot go on."""

    options: TrainingConfig
    loss: LossModule
    optimizer: Any
    """Has the moments, when weights are checked."""
    rates: Any
    """The optimizer that trains, with the learning rate."""
    train: Encoded
    valid: Encoded
    saved_step: int = 0
    """The step of the last checkpoint."""
    left_out: list[str] = field(default_factory=list)
    """The steps of this epoch that were left out."""

    def leave_out(self, problem: str, position: Position, batches: int = 1) -> Position:
        """Count the step after `position`, of so many batches, whose "loss" or "gradient" is not finite.

        Raises: DivergedError for more in a row than `skip_nonfinite` permits.
        """
        epoch, step = position.epoch + 1, f"step {position.step + 1:,}"
        taken = range(position.batch, position.batch + batches)
        examples = _describe_examples(self.loss, self.train, epoch, taken)
        if position.skipped_in_row >= self.options.skip_nonfinite:
            what = f"the {problem} of {step}, in epoch {epoch}, is not finite; {examples}"
            raise self._diverged(what, position.step + 1, may_skip=True)
        self.left_out.append(f"{step} ({problem}): {examples}")
        return replace(
            position, skipped=position.skipped + 1, skipped_in_row=position.skipped_in_row + 1
        )

    def check_weights(self, position: Position, batch: Any = None) -> None:
        """Check the weights, the optimizer's moments and, with a batch, its loss by these weights.

        Raises: DivergedError if any is not finite.
        """
        moments = [each for state in self.optimizer.state.values() for each in state.values()]
        tensors = [each for each in (*self.loss.parameters(), *moments) if each.numel()]
        after = f"after step {position.step:,}"
        if not all(map(all_finite, tensors)):
            raise self._diverged(f"weights {after} are not finite", position.step)
        if batch is not None and not math.isfinite(_loss_without_update(self.loss, batch)):
            epoch, last = position.epoch + 1, position.batch - 1
            examples = _describe_examples(self.loss, self.train, epoch, [last])
            what = f"the loss {after}, in epoch {epoch}, is not finite; {examples}"
            raise self._diverged(what, position.step)

    def check_epoch(self, position: Position) -> None:
        """Raise DivergedError if every step of the epoch was left out."""
        if self.left_out and not position.epoch_tokens:
            what = f"every step of epoch {position.epoch + 1} was left out, as {self.left_out[0]}"
            raise self._diverged(what, position.step)

    def check_validation(self, batch: int | None, position: Position) -> None:
        """Raise DivergedError if the loss of some validation batch, given by its index, is not finite."""
        if batch is not None:
            examples = _describe_examples(self.loss, self.valid, 0, [batch])
            what = f"the validation loss after epoch {position.epoch + 1} is not finite; {examples}"
            raise self._diverged(what, position.step)

    def notices(self) -> list[str]:
        """Return a line about the steps of the epoch that were left out, if any, and forget them."""
        left_out, self.left_out = self.left_out, []
        if not left_out:
            return []
        return [
            f"{count(len(left_out), 'step')} left out, whose loss or gradient was not finite: {_listed(left_out)}"
        ]

    def _diverged(self, what: str, step: int, *, may_skip: bool = False) -> DivergedError:
        """Return the error that says what was not finite at a step, and how to go on."""
        options, lower = self.options, _lower_rate(self.options)
        cures = [f"set training.learning_rate lower, such as {lower:g}"]
        if not options.clip_norm:
            cures.append("clip the gradient (training.clip_norm=1)")
        if may_skip and not options.skip_nonfinite:
            cures.append("leave out a few such steps (training.skip_nonfinite=3)")
        return DivergedError(
            f"training diverged: {what}. The learning rate was {self.rates.param_groups[0]['lr']:.3g}.",
            f"The run keeps its last checkpoint, of step {self.saved_step:,}, whose weights are finite; to go on from "
            f"there, {', or '.join(cures)}",
            step=step,
            learning_rate=lower,
        )


def total_skipped_notices(skipped: int) -> list[str]:
    """Return a line about all steps of a training that were left out, if any.

    >>> total_skipped_notices(0), len(total_skipped_notices(2))
    ([], 1)
    """
    if not skipped:
        return []
    return [
        f"{count(skipped, 'step')} of the training left out, whose loss or gradient was not finite "
        "(training.skip_nonfinite)"
    ]


def _describe_examples(
    loss: LossModule, encoded: Encoded, epoch: int, indices: Iterable[int]
) -> str:
    """Name examples of some batches, preferring those whose loss by themselves is not finite.

    `epoch` gives the order of the examples, `indices` are those of the batches in it.
    """
    batches, data = encoded
    rows, alone = [], []
    by_batch = (batches.one_by_one(epoch, index) for index in indices)
    for row, example in itertools.chain.from_iterable(by_batch):
        rows.append(row)
        if not math.isfinite(_loss_without_update(loss, example)):
            alone.append(row)
    if 0 < len(alone) < len(rows):
        verb = "is" if len(alone) == 1 else "are"
        causes = _listed([data.location(row) for row in alone])
        return f"of the {len(rows):,} {data.example}s in its batch {causes} {verb} the cause"
    listed = _listed([data.location(row) for row in rows])
    if alone:
        return f"no {data.example} of its batch has a finite loss by itself: {listed}"
    return f"in its batch: {listed}"


def _loss_without_update(loss: LossModule, batch: Any) -> float:
    """Return the validation loss of a batch, summed; the mode of the module is left as it was."""
    was_training = loss.training
    loss.eval()
    try:
        with torch.inference_mode():
            return float(loss(moved_to_model(batch, loss)))
    finally:
        loss.train(was_training)


def _lower_rate(options: TrainingConfig) -> float:
    """Return a peak learning rate to try: the default, or a tenth if the one set is no higher than that.

    >>> _lower_rate(TrainingConfig(learning_rate=1e30)), _lower_rate(TrainingConfig(learning_rate=0.001))
    (0.003, 0.0001)
    """
    default: float = type(options).model_fields["learning_rate"].default
    tenth = float(f"{options.learning_rate / 10:.3g}")
    return default if options.learning_rate > default else tenth


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - LISTED
    return "; ".join([*parts[:LISTED], *([f"and {more:,} more"] if more > 0 else [])])
