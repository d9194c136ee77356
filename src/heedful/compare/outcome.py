"""What one training of a comparison came to, and how it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heedful.run_folder import write_text


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes that the process held (its resident set): before the training, and the most until its end."""

    before: int
    peak: int

    @property
    def added(self) -> int:
        """What the training took beyond the libraries and the data."""
        return self.peak - self.before


@dataclass(frozen=True, kw_only=True)
class Point:
    """One validation on the way."""

    epoch: int
    step: int
    tokens: int
    seconds: float
    """Spent on training steps until then."""
    quality: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A training that ended, well or with an error."""

    contender: str
    seed: int
    fraction: float
    error: str | None = None
    quality: float = 0.0
    """The metric of the weights that were kept."""
    parameters: int = 0
    train_examples: int = 0
    steps: int = 0
    tokens: int = 0
    training_seconds: float = 0.0
    seconds: float = 0.0
    """With validation."""
    scores: dict[str, float] = field(default_factory=dict)
    curve: tuple[Point, ...] = ()
    memory: Memory | None = None
    """None where the training went on after an interruption, so that no process saw all of it."""
    latency: dict[int, float] = field(default_factory=dict)
    """Length of one input -> seconds to answer it, the median of several calls."""
    threads: int = 0
    statistics: list[list[float]] = field(default_factory=list)
    """Of each validation example, as the answer's `statistics` gives them."""

    @property
    def tokens_per_second(self) -> float:
        """Predicted tokens a second of training steps."""
        return self.tokens / self.training_seconds if self.training_seconds else 0.0

    def to_dict(self, *, whole: bool = True) -> dict[str, Any]:
        """Return values for JSON; without the examples' statistics unless `whole`."""
        values = asdict(self) | {"tokens_per_second": self.tokens_per_second}
        if not whole:
            del values["statistics"]
        return values

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_text(path, json.dumps(self.to_dict()) + "\n")


def outcome_from_dict(values: dict[str, Any]) -> Outcome:
    """Undo `Outcome.to_dict`, also after JSON.

    >>> one = Outcome(contender="lstm", seed=0, fraction=1.0, latency={8: 0.1}, memory=Memory(before=1, peak=3))
    >>> outcome_from_dict(json.loads(json.dumps(one.to_dict()))) == one
    True
    """
    values = {key: value for key, value in values.items() if key != "tokens_per_second"}
    memory = values["memory"]
    values["memory"] = None if memory is None else Memory(**memory)
    values["curve"] = tuple(Point(**each) for each in values["curve"])
    values["latency"] = {int(length): seconds for length, seconds in values["latency"].items()}
    return Outcome(**values)


def load_outcome(path: Path) -> Outcome | None:
    """Read one that was saved; None where there is none, or none that can be read."""
    try:
        return outcome_from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
