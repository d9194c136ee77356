"""What a baseline is: a way to predict that is fitted at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Targets:
    """What a baseline learns, and under which settings."""

    values: Numbers
    """(examples, outputs): numbers, NaN where one is missing, or 0 and 1 for each label."""
    kind: Literal["number", "label", "labels"]
    """Numbers; one label per example; any number of labels."""
    config: Any
    """The configuration of the task."""
    seed: int


Fit = Callable[[Sequence[Any], Sequence[Any], Targets], Numbers]
"""(training inputs, other inputs, targets) -> values of the other inputs, (inputs, outputs): numbers or
probabilities."""
FitColumn = Callable[[Sequence[Any], Sequence[Any], Numbers, bool, int], Numbers]
"""(training inputs, other inputs, one column of targets, whether they are labels 0 and 1, seed) -> values of the other
inputs, (inputs,)."""


@dataclass(frozen=True)
class Baseline:
    """A way to predict."""

    predict: Fit
    title: str
    input: type[Any] | None = None
    """The input that it reads; None: any."""
    reads: str = ""
    """Plural noun for what it reads, for errors."""


def by_column(fit: FitColumn) -> Fit:
    """Return the baseline that learns each output by itself, of the examples that have it."""

    def predict(train: Sequence[Any], others: Sequence[Any], targets: Targets) -> Numbers:
        values = []
        for column in targets.values.T:
            known = np.flatnonzero(~np.isnan(column))
            inputs = [train[row] for row in known.tolist()]
            is_label = targets.kind != "number"
            values.append(fit(inputs, others, column[known], is_label, targets.seed))
        return np.stack(values, axis=1)

    return predict
