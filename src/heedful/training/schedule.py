"""Learning-rate schedules: the factor, between 0 and 1, that multiplies the peak at each step."""

from __future__ import annotations

import math
from collections.abc import Callable

from heedful.errors import unknown_choice

Schedule = Callable[[int, int, int], float]
"""(step, warm-up steps, total steps) -> factor; `step` counts from 1 and lies after the warm-up."""


def constant(step: int, warmup: int, total: int) -> float:
    """1."""
    return 1.0


def inverse_square_root(step: int, warmup: int, total: int) -> float:
    """sqrt(warmup / step): Vaswani et al. 2017, https://arxiv.org/abs/1706.03762."""
    return math.sqrt(max(warmup, 1) / step)


def cosine(step: int, warmup: int, total: int) -> float:
    """Half a cosine from 1 down to 0 at the last step: https://arxiv.org/abs/1608.03983."""
    return 0.5 * (1.0 + math.cos(math.pi * _done(step, warmup, total)))


def linear(step: int, warmup: int, total: int) -> float:
    """A straight line from 1 down to 0 at the last step."""
    return 1.0 - _done(step, warmup, total)


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "inverse_square_root": inverse_square_root,
    "cosine": cosine,
    "linear": linear,
}


def factor(name: str, step: int, *, warmup: int, total: int) -> float:
    """Return the factor of schedule `name` at `step`, after a straight warm-up from 0 to 1.

    `step` counts from 1, so that no step is wasted at 0.

    Raises: OptionError for a schedule that is not in SCHEDULES.

    >>> [round(factor("linear", step, warmup=2, total=6), 2) for step in range(1, 7)]
    [0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if name not in SCHEDULES:
        raise unknown_choice("schedule", name, SCHEDULES)
    if step < warmup:
        return step / warmup
    return SCHEDULES[name](step, warmup, total)


def _done(step: int, warmup: int, total: int) -> float:
    return min(1.0, (step - warmup) / max(1, total - warmup))
