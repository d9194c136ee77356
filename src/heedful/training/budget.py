"""The training budget: epochs, steps, tokens or seconds, whichever is exhausted first."""

from __future__ import annotations

import math

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
