"""What was measured: one curve an encoder, variant and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Curve:
    """Values of one measure over lengths, distances, threads or changes of order."""

    measure: str
    encoder: str
    variant: str
    """What sets apart several curves of one encoder: "trained", "forward"; or empty."""
    seed: int
    points: tuple[tuple[float, float], ...]
    """(x, value), x rising."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Line:
    """Curves of all seeds of one encoder and variant: their mean, and between what they lie."""

    encoder: str
    variant: str
    points: dict[float, tuple[float, float, float]]
    """x -> (mean, lowest, highest)."""


def over_seeds(curves: Sequence[Curve]) -> list[Line]:
    """Join the seeds of curves of one measure, in the order in which encoders and variants come.

    >>> curves = [Curve("recall", "lstm", "", seed, ((8, 0.5 + seed),)) for seed in (0, 1)]
    >>> over_seeds(curves)[0].points
    {8: (1.0, 0.5, 1.5)}
    """
    lines = []
    for encoder, variant in dict.fromkeys((one.encoder, one.variant) for one in curves):
        values: dict[float, list[float]] = {}
        for one in curves:
            if (one.encoder, one.variant) == (encoder, variant):
                for x, value in one.points:
                    values.setdefault(x, []).append(value)
        points = {x: (sum(v) / len(v), min(v), max(v)) for x, v in sorted(values.items())}
        lines.append(Line(encoder, variant, points))
    return lines
