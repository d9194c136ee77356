"""How much time and memory a measurement may take, and what one measurement is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The limits of a measurement; the same for every contender.

    >>> Settings(threads=2).seconds
    1.0
    """

    threads: int = 1
    seconds: float = 1.0
    """For the rounds of one case, all contenders together; five rounds are run in any case."""
    call_seconds: float = 20.0
    """A contender expected to take longer for one forward and backward pass is left out."""
    memory_bytes: int = 4 * GIB
    """A contender known to need more is left out."""
    backward: bool = True
    compiled: bool = False
    """Whether contenders that compile for tens of seconds take part."""
    only: tuple[str, ...] = ()
    """The contenders that take part; empty for all."""
    seed: int = 0
    processor_time: bool = False
    """Whether times are those of the one thread that measures, to which other programs on the machine add little."""


@dataclass(frozen=True)
class Job:
    """One operation at several cases, in one process.

    >>> job = Job("additive", ({"queries": 64},), Settings())
    >>> Job.from_dict(job.to_dict()) == job
    True
    """

    operation: str
    cases: Sequence[dict[str, int]]
    """What differs from the operation's own sizes, shortest first."""
    settings: Settings

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """Read what `to_dict` gave."""
        settings = {**values["settings"], "only": tuple(values["settings"]["only"])}
        return cls(values["operation"], tuple(values["cases"]), Settings(**settings))
