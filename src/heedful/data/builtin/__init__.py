"""Corpora that are made on the spot, so that everything can be tried without any file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from heedful.data.builtin import dates, numbers, saw, waves
from heedful.data.builtin.corpus import Corpus, TaggedCorpus
from heedful.data.builtin.waves import SeriesCorpus
from heedful.errors import unknown_choice

_Corpus = TypeVar("_Corpus")


class Builder(Protocol):
    """What every built-in corpus offers."""

    def __call__(
        self, seed: int = 0, *, train_size: int = ..., valid_size: int = ..., test_size: int = ...
    ) -> Corpus:
        """Make the corpus; the same arguments always give the same pairs."""
        ...


BUILTIN: dict[str, Builder] = {"dates": dates.build, "numbers": numbers.build}


def load_builtin(name: str, seed: int = 0) -> Corpus:
    """Make a built-in corpus by its name, in its default sizes.

    Raises:
        OptionError: there is none of that name (the nearest is given).

    Example:
        >>> len(load_builtin("dates").test)
        1000
    """
    return _build("built-in corpus", BUILTIN, name, seed)


class TaggedBuilder(Protocol):
    """What every built-in corpus of labelled tokens offers."""

    def __call__(
        self, seed: int = 0, *, train_size: int = ..., valid_size: int = ..., test_size: int = ...
    ) -> TaggedCorpus:
        """Make the corpus; the same arguments always give the same sentences."""
        ...


BUILTIN_TAGGED: dict[str, TaggedBuilder] = {"saw": saw.build}


def load_builtin_tagged(name: str, seed: int = 0) -> TaggedCorpus:
    """Make a built-in corpus of labelled tokens by its name, in its default sizes.

    Raises:
        OptionError: there is none of that name (the nearest is given).

    Example:
        >>> len(load_builtin_tagged("saw").test)
        2000
    """
    return _build("built-in corpus of labelled tokens", BUILTIN_TAGGED, name, seed)


BUILTIN_SERIES: dict[str, Callable[[int], SeriesCorpus]] = {"waves": waves.build}


def load_builtin_series(name: str, seed: int = 0) -> SeriesCorpus:
    """Make a built-in corpus of series by its name, in its default sizes.

    Raises:
        OptionError: there is none of that name (the nearest is given).

    Example:
        >>> len(load_builtin_series("waves").test)
        300
    """
    return _build("built-in corpus of series", BUILTIN_SERIES, name, seed)


def _build(
    what: str, table: Mapping[str, Callable[[int], _Corpus]], name: str, seed: int
) -> _Corpus:
    if name not in table:
        raise unknown_choice(what, name, table)
    return table[name](seed)


__all__ = [
    "BUILTIN",
    "BUILTIN_SERIES",
    "BUILTIN_TAGGED",
    "Builder",
    "Corpus",
    "SeriesCorpus",
    "TaggedBuilder",
    "TaggedCorpus",
    "load_builtin",
    "load_builtin_series",
    "load_builtin_tagged",
]
