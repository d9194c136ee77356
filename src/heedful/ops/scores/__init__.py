"""Scores: how a query and a key are compared. A new score is one file and one line in `SCORES`."""

from __future__ import annotations

from heedful.ops.scores.additive import Additive
from heedful.ops.scores.base import PreparedKey, Score
from heedful.ops.scores.capped import SoftCapped
from heedful.ops.scores.dot import Dot, ScaledDot
from heedful.ops.scores.multiplicative import Bilinear, LowRank
from heedful.ops.scores.rotated import Rotated
from heedful.ops.scores.similarity import Cosine, Gaussian

SCORES: dict[str, type[Score]] = {
    score.name: score
    for score in (
        Dot,
        ScaledDot,
        Bilinear,
        LowRank,
        Cosine,
        Gaussian,
        Additive,
        SoftCapped,
    )
}
"""Every score by name; `Rotated` wraps one of them, and `SoftCapped` wraps any of those."""

__all__ = [
    "SCORES",
    "Additive",
    "Bilinear",
    "Cosine",
    "Dot",
    "Gaussian",
    "LowRank",
    "PreparedKey",
    "Rotated",
    "ScaledDot",
    "Score",
    "SoftCapped",
]
