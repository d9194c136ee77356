"""When the next checkpoint within an epoch is due."""

from __future__ import annotations

import time

from heedful.tasks.sections import TrainingConfig


class CheckpointTimer:
    """Counts the minutes since the last checkpoint, and the steps of the run.

    >>> timer = CheckpointTimer(TrainingConfig(checkpoint_minutes=5, checkpoint_steps=100))
    >>> timer.is_due(99), timer.is_due(100)
    (False, True)
    """

    def __init__(self, options: TrainingConfig):
        self.steps = options.checkpoint_steps
        self.seconds = 60 * options.checkpoint_minutes
        self.saved = time.monotonic()

    def restart(self) -> None:
        """Count from now on: a checkpoint was saved."""
        self.saved = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Return whether to save a checkpoint after step `step`."""
        if self.steps and step % self.steps == 0:
            return True
        return 0 < self.seconds <= time.monotonic() - self.saved
