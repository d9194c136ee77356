"""What a figure of merit is made of, example by example, so that examples can be drawn again."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Judge(abc.ABC):
    """How one task's answers are compared: sums over examples, and the figure of such sums."""

    figure: ClassVar[str]
    """Of `Task.figures`."""
    less_is_better: ClassVar[bool] = False
    unit: ClassVar[str]
    """What the length of an input counts."""

    @abc.abstractmethod
    def take(self, data: Any, rows: Sequence[int]) -> Any:
        """Return these examples alone."""

    def labels(self, data: Any) -> Sequence[Sequence[str]]:
        """Return the labels of each example, of which a part of the data should lack none."""
        return [()] * len(data)

    @abc.abstractmethod
    def statistics(self, trained: Any, data: Any) -> Numbers:
        """Answer every example: (examples, statistics), whose sums over examples `value` reads."""

    @abc.abstractmethod
    def value(self, sums: Numbers) -> Numbers:
        """Return the figure of summed statistics: (..., statistics) -> (...)."""

    @abc.abstractmethod
    def input(self, data: Any, length: int) -> Any:
        """Make an input of about so many units out of the data."""

    @abc.abstractmethod
    def answer(self, trained: Any, made: Any) -> None:
        """Answer one such input, as `heedful predict` would."""


class RatioJudge(Judge):
    """A figure that is one sum over another, such as right answers over answers."""

    def value(self, sums: Numbers) -> Numbers:
        return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1e-12))


def repeated(units: Sequence[Any], length: int) -> list[Any]:
    """Return `length` units, beginning again where they end.

    >>> repeated("ab", 5)
    ['a', 'b', 'a', 'b', 'a']
    """
    return list(itertools.islice(itertools.cycle(units), length))
