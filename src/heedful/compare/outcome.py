"""The outcome of one training of a comparison, and its JSON serialization."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heedful.errors import RunError
from heedful.run_folder import write_text
from heedful.stored_files import read_json
from heedful.strict_json import number_from_json, numbers_from_json, to_strict_json


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident set of the process in bytes: before training, and its peak until the end."""

    before: int
    peak: int

    @property
    def added(self) -> int:
        """Peak memory of training beyond the libraries and the data."""
        return self.peak - self.before


@dataclass(frozen=True, kw_only=True)
class Point:
    """One validation of a training curve."""

    epoch: int
    step: int
    tokens: int
    seconds: float
    """Time of the training steps so far."""
    quality: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The results of one training, or its error."""

    contender: str
    seed: int
    fraction: float
    error: str | None = None
    quality: float = 0.0
    """The metric of the best checkpoint."""
    parameters: int = 0
    train_examples: int = 0
    steps: int = 0
    tokens: int = 0
    training_seconds: float = 0.0
    seconds: float = 0.0
    """Time including validation."""
    scores: dict[str, float] = field(default_factory=dict)
    curve: tuple[Point, ...] = ()
    memory: Memory | None = None
    """None if the training was resumed, as no single process ran all of it."""
    latency: dict[int, float] = field(default_factory=dict)
    """Input length -> median seconds to predict one input."""
    threads: int = 0
    statistics: list[list[float]] = field(default_factory=list)
    """Statistics of each validation example, from the answer's `statistics`."""

    @property
    def tokens_per_second(self) -> float:
        """Tokens predicted per second of training steps."""
        return self.tokens / self.training_seconds if self.training_seconds else 0.0

    def to_dict(self, *, whole: bool = True) -> dict[str, Any]:
        """Serialize to values for JSON; without the statistics unless `whole`."""
        values = asdict(self) | {"tokens_per_second": self.tokens_per_second}
        if not whole:
            del values["statistics"]
        return values

    def save(self, path: Path) -> None:
        """Write the outcome as JSON, atomically."""
        write_text(path, to_strict_json(self.to_dict()) + "\n")


def outcome_from_dict(values: dict[str, Any]) -> Outcome:
    """Deserialize the result of `Outcome.to_dict`, also after JSON.

    >>> one = Outcome(contender="lstm", seed=0, fraction=1.0, latency={8: 0.1}, memory=Memory(before=1, peak=3))
    >>> import json
    >>> outcome_from_dict(json.loads(json.dumps(one.to_dict()))) == one
    True
    """
    values = {key: value for key, value in values.items() if key != "tokens_per_second"}
    memory = values["memory"]
    values["memory"] = None if memory is None else Memory(**memory)
    values["scores"] = numbers_from_json(values["scores"])
    values["curve"] = tuple(
        Point(**{**each, "quality": number_from_json(each["quality"])}) for each in values["curve"]
    )
    values["latency"] = {int(length): seconds for length, seconds in values["latency"].items()}
    return Outcome(**values)


def load_outcome(path: Path) -> Outcome | None:
    """Read a saved outcome; None if the file is missing or invalid."""
    try:
        return outcome_from_dict(read_json(path))
    except (RunError, ValueError, KeyError, TypeError, AttributeError):
        return None
