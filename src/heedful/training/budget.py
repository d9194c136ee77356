"""The training budget: epochs, steps, tokens or seconds, whichever is exhausted first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from heedful.tasks.sections import TrainingConfig
from heedful.training.checkpoint import Position


def budget_exhausted(options: TrainingConfig, position: Position) -> bool:
    """Whether the limit of steps, tokens or seconds is reached; the training loop itself counts epochs.

    >>> options = TrainingConfig(max_steps=5)
    >>> budget_exhausted(options, Position(step=4)), budget_exhausted(options, Position(step=5))
    (False, True)
    """
    return (
        0 < options.max_steps <= position.step
        or 0 < options.max_tokens <= position.tokens
        or 0 < options.max_seconds <= position.training_seconds
    )


def warmup_steps(options: TrainingConfig, steps: int) -> int:
    """Return the steps of warm-up of a training of `steps` steps.

    >>> warmup_steps(TrainingConfig(warmup_share=0.1), 80), warmup_steps(TrainingConfig(warmup_steps=100), 80)
    (8, 100)
    """
    if options.warmup_steps is not None:
        return options.warmup_steps
    return round(options.warmup_share * steps)


def known_steps(options: TrainingConfig, steps_per_epoch: int) -> int | None:
    """Return the total number of steps before training starts; None if tokens or seconds limit it."""
    if options.max_tokens or options.max_seconds:
        return None
    return planned_steps(options, Position(), steps_per_epoch)


FEW_STEPS: Final = 50
"""Fewer steps of training are worth a notice."""


def budget_notices(options: TrainingConfig, steps_per_epoch: int) -> list[str]:
    """Return warnings about a training that is too short to learn much.

    >>> budget_notices(TrainingConfig(epochs=2, warmup_steps=100), 40)[0][:57]
    'the warm-up takes 100 steps and the whole training 80, so'
    """
    steps = known_steps(options, steps_per_epoch)
    if steps is None:
        return []
    notices, warmup = [], warmup_steps(options, steps)
    if warmup >= steps:
        notices.append(
            f"the warm-up takes {warmup:,} steps and the whole training {steps:,}, so the learning rate never reaches "
            "its peak; set training.warmup_steps lower, or training.epochs higher"
        )
    if steps < FEW_STEPS:
        notices.append(
            f"the whole training takes {steps:,} steps, in which little can be learned; set training.epochs higher, "
            "or training.batch_tokens lower"
        )
    return notices


def learning_notices(train_losses: Sequence[float]) -> list[str]:
    """Return a warning if the training loss of the last epoch is hardly below that of the first.

    >>> learning_notices([1.0, 0.5]), len(learning_notices([1.0, 0.99]))
    ([], 1)
    """
    if len(train_losses) < 2 or train_losses[-1] < 0.98 * train_losses[0]:
        return []
    return [
        f"the training loss hardly moved, from {train_losses[0]:.3f} to {train_losses[-1]:.3f}: the model predicts "
        "much as an untrained one; train for more steps (training.epochs), or set training.learning_rate"
    ]


def planned_steps(options: TrainingConfig, position: Position, steps_per_epoch: int) -> int:
    """Return the expected total number of steps; limits of tokens and seconds are extrapolated from `position`.

    >>> planned_steps(TrainingConfig(epochs=2, max_tokens=90), Position(step=3, tokens=30), 10)
    9
    """
    plans = [options.epochs * steps_per_epoch]
    if options.max_steps:
        plans.append(options.max_steps)
    if options.max_tokens and position.tokens:
        plans.append(math.ceil(position.step * options.max_tokens / position.tokens))
    if options.max_seconds and position.training_seconds:
        plans.append(math.ceil(position.step * options.max_seconds / position.training_seconds))
    return min(plans)
