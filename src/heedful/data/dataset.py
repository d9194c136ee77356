"""The dataset interface: inputs, answers, row selection, and errors that name file and line."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from heedful.errors import DataError


class Dataset(abc.ABC):
    """An ordered collection of examples, each an input and its reference answer.

    Subclasses implement the abstract members; training, evaluation and comparison use nothing else.
    """

    name: str
    """Where the data come from, for display."""
    example: ClassVar[str] = "example"
    """The word for one example in error messages."""
    has_any_length: ClassVar[bool] = True
    """Whether inputs may have any length; False if a model brings all to one, as images."""
    skipped: Sequence[str] = ()
    """What is wrong with each row of the files that was left out."""

    @property
    @abc.abstractmethod
    def inputs(self) -> Sequence[Any]:
        """The input of each example."""

    @property
    @abc.abstractmethod
    def answers(self) -> Sequence[Any]:
        """The reference answer of each example."""

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.inputs)

    @abc.abstractmethod
    def take(self, rows: Sequence[int]) -> Self:
        """Return a dataset of the examples at the indices `rows`, in that order."""

    def fresh(self, generator: np.random.Generator) -> Self | None:
        """Return one more example, drawn from the generator alone, of data that are made without end; default None.

        Training takes a fresh example in the place of each in every epoch.
        """
        return None

    def cached_in(self, folder: Path) -> Self:
        """Return these data with what is costly to compute kept in a folder; default: nothing is."""
        return self

    @abc.abstractmethod
    def texts(self) -> Sequence[Sequence[str]]:
        """Return the whole content as strings; the dataset fingerprint is computed from them."""

    @abc.abstractmethod
    def input_of_length(self, length: int) -> Any:
        """Return an input of exactly `length` words, tokens or steps, to measure inference time by length."""

    def labels(self) -> Sequence[Sequence[str]]:
        """Return the labels of each example; a subset for training should cover them all."""
        return [()] * len(self)

    def showcase(self, count: int) -> Sequence[Any]:
        """Return up to `count` inputs to display, preferring those of readable length."""
        return list(self.inputs)[:count]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        """Return an error about position `position` of example `row`, with file and line if known."""
        return DataError(f"example {row + 1} of {self.name}: {message}")

    def location(self, row: int) -> str:
        """Return where example `row` is from: its file and line as far as they are known, or else its number."""
        return self.error(row, "").where or f"{self.example} {row + 1} of {self.name}"


def repeat_to_length(units: Iterable[Any], length: int) -> list[Any]:
    """Return `length` items of `units`, starting over at the end.

    >>> repeat_to_length("ab", 5)
    ['a', 'b', 'a', 'b', 'a']
    """
    return list(itertools.islice(itertools.cycle(units), length))


def preferred(items: Sequence[Any], good: Sequence[bool], count: int) -> list[Any]:
    """Return at most `count` items, those flagged `good` first.

    >>> preferred("abc", [False, True, False], 2)
    ['b', 'a']
    """
    flagged = list(zip(items, good, strict=True))
    chosen = [item for item, is_good in flagged if is_good]
    return [*chosen, *(item for item, is_good in flagged if not is_good)][:count]
