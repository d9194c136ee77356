"""Learning-rate schedules: the factor from 0 to 1 on the peak learning rate at each step."""

from __future__ import annotations

import math
from collections.abc import Callable

from heedful.errors import unknown_choice

Schedule = Callable[[int, int, int], float]
"""(step, warm-up steps, total steps) -> factor; `step` counts from 1 and is past the warm-up."""


def constant(step: int, warmup: int, total: int) -> float:
    """Always 1."""
    return 1.0


def inverse_square_root(step: int, warmup: int, total: int) -> float:
    """sqrt(warmup / step): Vaswani et al. 2017, https://arxiv.org/abs/1706.03762."""
    return math.sqrt(max(warmup, 1) / step)


def cosine(step: int, warmup: int, total: int) -> float:
    """Cosine decay from 1 to 0 at the last step: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983."""
    return 0.5 * (1.0 + math.cos(math.pi * _decay_progress(step, warmup, total)))


def linear(step: int, warmup: int, total: int) -> float:
    """Linear decay from 1 to 0 at the last step."""
    return 1.0 - _decay_progress(step, warmup, total)


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "inverse_square_root": inverse_square_root,
    "cosine": cosine,
    "linear": linear,
}


def learning_rate_factor(name: str, step: int, *, warmup: int, total: int) -> float:
    """Return the factor of schedule `name` at `step`, with linear warm-up from 0 to 1.

    `step` counts from 1, so that no step has the factor 0 of the warm-up's start.

    Raises: OptionError if `name` is not in SCHEDULES.

    >>> [round(learning_rate_factor("linear", step, warmup=2, total=6), 2) for step in range(1, 7)]
    [0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if name not in SCHEDULES:
        raise unknown_choice("schedule", name, SCHEDULES)
    if step < warmup:
        return step / warmup
    return SCHEDULES[name](step, warmup, total)


def _decay_progress(step: int, warmup: int, total: int) -> float:
    return min(1.0, (step - warmup) / max(1, total - warmup))
