"""What training reports while it runs: frozen values, to be drawn, printed or stored by the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.answers.base import Scores


@dataclass(frozen=True, kw_only=True)
class Started:
    """Data and model are ready and the run folder is written."""

    run: Path
    parameters: int
    sizes: dict[str, int]
    """The entries of each vocabulary."""
    train_examples: int
    left_out: int
    """Training examples longer than the configuration allows."""
    valid_examples: int
    epochs: int
    steps_per_epoch: int
    first_step: int
    """0, or the step that a resumed run goes on from."""
    notices: Sequence[str]
    """A line each: settings that do less on this machine than they are expected to."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Some steps were taken.

    Rates are by the wall clock and of the steps since the last report, with the checkpoints saved
    among them; the time that whoever receives the events takes is not counted.
    """

    epoch: int
    """Counted from 1."""
    step: int
    steps: int
    """Steps of the whole training, should it not stop early; where tokens or seconds limit it, as far as can
    be told by now."""
    loss: float
    """Mean training loss a prediction since the last report."""
    learning_rate: float
    tokens_per_second: float
    """Tokens (labels) that the model predicted, padding not counted."""
    seconds_left: float
    """At this pace, for the steps up to the last of all epochs: validation is not counted, and training
    may stop early."""


@dataclass(frozen=True, kw_only=True)
class Validated:
    """An epoch ended and its weights were validated."""

    epoch: int
    step: int
    train_loss: float
    scores: Scores
    best: bool
    """Whether these are the best weights so far."""
    seconds: float
    """Since training started, earlier parts of a resumed run included."""
    tokens: int
    """Predicted in all training steps so far."""
    training_seconds: float
    """Spent on training steps so far; validation is not counted."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Training ended; the run folder holds the chosen weights."""

    run: Path
    epochs: int
    steps: int
    stopped_early: bool
    chosen: str
    """"average" or "epoch 12": where the weights come from."""
    scores: Scores
    seconds: float


Event = Started | Progress | Validated | Finished
