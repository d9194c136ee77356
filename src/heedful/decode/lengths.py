"""Length penalties: what the log-probability of a hypothesis is divided by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final


def length_penalty_factor(length: int, alpha: float) -> float:
    """lp(y) = ((5 + |y|) / 6)^α, the divisor of a hypothesis' log-probability (Wu et al. 2016, eq. 14).

    |y| includes the end token. α = 0 is no penalty; a larger α favours longer outputs.

    >>> length_penalty_factor(7, 1.0)
    2.0
    """
    return float(((5 + length) / 6) ** alpha)


def length_power(length: int, alpha: float) -> float:
    """lp(y) = |y|^α, the divisor of CTranslate2, fairseq and Hugging Face's `generate`.

    |y| includes the end token. α = 1 is the mean log-probability of the tokens.

    >>> length_power(4, 0.5)
    2.0
    """
    return float(length**alpha)


LENGTH_PENALTIES: Final[Mapping[str, Callable[[int, float], float]]] = {
    "gnmt": length_penalty_factor,
    "power": length_power,
}
"""Name of a length penalty -> (length, α) -> divisor; each grows with the length."""
