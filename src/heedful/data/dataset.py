"""What every kind of data offers: inputs, answers, parts of them, and errors that name file and line."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Self

from heedful.errors import DataError


class Dataset(abc.ABC):
    """Examples in order, each an input and its true answer.

    A dataset of a new kind defines the abstract members; training, evaluation and comparison need no more.
    """

    name: str
    """Where the data come from, for people."""
    example: ClassVar[str] = "example"
    """What one example is called, in errors."""

    @property
    @abc.abstractmethod
    def inputs(self) -> Sequence[Any]:
        """The input of each example."""

    @property
    @abc.abstractmethod
    def answers(self) -> Sequence[Any]:
        """The true answer of each example."""

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.inputs)

    @abc.abstractmethod
    def take(self, rows: Sequence[int]) -> Self:
        """Return these examples alone, in this order."""

    @abc.abstractmethod
    def texts(self) -> Sequence[Sequence[str]]:
        """Return everything that the data hold as text, from which a fingerprint is made."""

    @abc.abstractmethod
    def stretched(self, length: int) -> Any:
        """Return an input of `length` words, tokens or steps made of these data, to time answers by length."""

    def labels(self) -> Sequence[Sequence[str]]:
        """Return the labels of each example; a part of the training data should lack none of them."""
        return [()] * len(self)

    def showcase(self, count: int) -> Sequence[Any]:
        """Choose inputs that make readable pictures; there may be none."""
        return list(self.inputs)[:count]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        """Return the error of one example, at one position of it; with file and line where they are known."""
        return DataError(f"example {row + 1} of {self.name}: {message}")


def repeated(units: Sequence[Any], length: int) -> list[Any]:
    """Return `length` units, beginning again where they end.

    >>> repeated("ab", 5)
    ['a', 'b', 'a', 'b', 'a']
    """
    return list(itertools.islice(itertools.cycle(units), length))


def preferred(items: Sequence[Any], good: Sequence[bool], count: int) -> list[Any]:
    """Return the first `count` items, good ones first.

    >>> preferred("abc", [False, True, False], 2)
    ['b', 'a']
    """
    marked = list(zip(items, good, strict=True))
    chosen = [each for each, is_good in marked if is_good]
    return [*chosen, *(each for each, is_good in marked if not is_good)][:count]


LARGEST: Final = 1e150
"""Greatest target: its square is still a number of double precision."""


def parse_number(written: str, error: Callable[[str], DataError]) -> float:
    """Read a true answer as a number.

    Args:
        written: as it stands in the file.
        error: makes the error of the example.

    Raises: DataError for text that is no number, not finite, or too large to be squared.

    >>> parse_number("2.5", DataError)
    2.5
    """
    try:
        value = float(written)
    except ValueError:
        raise error(f"the target {written!r} is no number; write it as 1.5.") from None
    if not math.isfinite(value):
        raise error(
            f"the target is {written!r}, which nothing can be learned from; leave the row out or mend it."
        )
    if abs(value) > LARGEST:
        raise error(
            f"the target {written!r} is beyond {LARGEST:g}, whose square cannot be told from infinity."
        )
    return value
