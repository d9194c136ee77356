"""How much of a training there is: epochs, steps, tokens or seconds, whichever is used up first."""

from __future__ import annotations

import math

from heedful.tasks.sections import TrainingConfig
from heedful.training.checkpoint import Position


def spent(options: TrainingConfig, position: Position) -> bool:
    """Say whether steps, tokens or seconds are used up; epochs are counted by whoever takes them.

    >>> spent(TrainingConfig(max_steps=5), Position(step=4)), spent(TrainingConfig(max_steps=5), Position(step=5))
    (False, True)
    """
    return (
        0 < options.max_steps <= position.step
        or 0 < options.max_tokens <= position.tokens
        or 0 < options.max_seconds <= position.training_seconds
    )


def planned_steps(options: TrainingConfig, position: Position, steps_per_epoch: int) -> int:
    """Return after how many steps the training will have ended, as well as can be told at `position`.

    Of tokens and seconds it is what the steps so far let expect.

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
