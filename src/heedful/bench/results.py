"""What was measured, as values that go to JSON and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["measured", "refused", "left out", "not installed"]
Mode = Literal["forward", "both"]
"""The forward pass alone, or forward and backward."""


@dataclass(frozen=True)
class Timing:
    """Seconds of a call: the median of many rounds, and between which quarters of them lie.

    >>> Timing.of([3.0, 1.0, 2.0])
    Timing(median=2.0, low=1.5, high=2.5, rounds=3)
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Timing:
        """Summarize samples, at least one."""
        ordered = sorted(samples)
        low, median, high = (_quantile(ordered, share) for share in (0.25, 0.5, 0.75))
        return cls(median, low, high, len(ordered))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@dataclass(frozen=True)
class Memory:
    """Bytes beyond the inputs."""

    kept: int | None
    """What autograd keeps between forward and backward; None where there is no backward."""
    peak_forward: int
    peak_both: int | None


@dataclass(frozen=True)
class Ratio:
    """How many times as long another took, round by round: the median, and the middle half of the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """One contender at one case."""

    operation: str
    contender: str
    ours: bool
    sizes: dict[str, int]
    threads: int
    status: Status
    reason: str = ""
    """Why it has no speed."""
    error: float | None = None
    """The largest difference from float64, in parts of the largest number of the same tensor."""
    first_seconds: float | None = None
    """The first call of the process at these sizes: with compiling, or loading what was compiled."""
    forward: Timing | None = None
    both: Timing | None = None
    memory: Memory | None = None
    ratios: dict[str, Ratio] = field(default_factory=dict)
    """Its time over that of each of ours in the same rounds, by mode and name: "forward heedful"."""

    def timing(self, mode: Mode) -> Timing | None:
        """The times of one mode."""
        return self.forward if mode == "forward" else self.both

    def ratio(self, mode: Mode, ours: str = "") -> Ratio | None:
        """Its time over that of one of ours, or of the first of ours that was measured."""
        found = [ratio for key, ratio in self.ratios.items() if key.startswith(f"{mode} {ours}")]
        return found[0] if found else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Result:
        """Read what `to_dict` gave."""
        parts: dict[str, type] = {"forward": Timing, "both": Timing, "memory": Memory}
        made = {
            name: None if values[name] is None else part(**values[name])
            for name, part in parts.items()
        }
        ratios = {name: Ratio(**each) for name, each in values["ratios"].items()}
        return cls(**{**values, **made, "ratios": ratios})


def growth(points: Sequence[tuple[float, float]]) -> float | None:
    """The exponent p of seconds ~ size**p: least squares of logarithms over the larger half of the sizes.

    None with fewer than three points.

    >>> growth([(64, 5.0), (256, 1.0), (1024, 4.0), (4096, 16.0), (16384, 64.0)])
    1.0
    """
    if len(points) < 3:
        return None
    larger = sorted(points)[-max(3, (len(points) + 1) // 2) :]
    xs = [math.log(size) for size, _ in larger]
    ys = [math.log(seconds) for _, seconds in larger]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return round(slope / sum((x - mean_x) ** 2 for x in xs), 3)
