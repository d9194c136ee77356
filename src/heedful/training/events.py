"""Training events: frozen values for the caller to print, draw or store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.answers.base import Scores
from heedful.data.preparation import Preparing


@dataclass(frozen=True, kw_only=True)
class Started:
    """Data and model are ready and the run folder is written."""

    run: Path
    parameters: int
    sizes: dict[str, int]
    """Vocabulary -> number of entries."""
    train_examples: int
    left_out: int
    """Training examples skipped, as they are longer than the configuration allows."""
    valid_examples: int
    epochs: int
    steps_per_epoch: int
    steps: int | None
    """Total steps without early stopping; None if tokens or seconds are limited."""
    warmup_steps: int | None
    """Steps in which the learning rate rises to its peak; None where `steps` is None."""
    first_step: int
    """0, or the step from which a run resumes."""
    notices: Sequence[str]
    """Warnings, one line each: settings that have less effect on this machine than expected."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress since the last report.

    Rates are by wall-clock time, including saving checkpoints but not the time that the receiver of the
    events takes.
    """

    epoch: int
    """Counted from 1."""
    step: int
    steps: int
    """Total steps without early stopping; an estimate if tokens or seconds are limited."""
    loss: float
    """Mean training loss per prediction since the last report."""
    learning_rate: float
    tokens_per_second: float
    """Tokens (labels) predicted per second, without padding."""
    seconds_left: float
    """Estimated time of the remaining steps, without validation and early stopping."""


@dataclass(frozen=True, kw_only=True)
class Validated:
    """An epoch ended and was validated."""

    epoch: int
    step: int
    train_loss: float
    scores: Scores
    best: bool
    """Whether this is the best epoch so far."""
    seconds: float
    """Time since training started, including earlier parts of a resumed run."""
    tokens: int
    """Tokens predicted in all steps so far."""
    training_seconds: float
    """Time of the training steps so far, without validation."""
    notices: Sequence[str] = ()
    """Warnings about the predictions, one line each."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Training ended; the run folder holds the best weights."""

    run: Path
    epochs: int
    steps: int
    stopped_early: bool
    chosen: str
    """The source of the weights: "epoch 12", or "average of epochs 8 to 12"."""
    scores: Scores
    seconds: float
    notices: Sequence[str] = ()
    """Warnings about what was learned, the predictions and their probabilities, one line each."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Training was asked to stop and did; the run folder holds a checkpoint to resume from."""

    run: Path
    step: int
    """Steps taken."""


Event = Preparing | Started | Progress | Validated | Finished | Stopped
"""What the receivers of `heedful.api.fit` are called with; training itself yields all but `Preparing`."""
