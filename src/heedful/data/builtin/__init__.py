"""Built-in corpora, generated on demand, to try the library without data files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol, TypeVar

from heedful.data.builtin import answers, dates, numbers, papers, saw, scenes, tones, waves
from heedful.data.builtin.answers import DialogueCorpus
from heedful.data.builtin.corpus import Corpus, TaggedCorpus
from heedful.data.builtin.papers import GraphCorpus
from heedful.data.builtin.scenes import SceneCorpus
from heedful.data.builtin.tones import AudioCorpus
from heedful.data.builtin.waves import SeriesCorpus
from heedful.errors import unknown_choice

_Corpus = TypeVar("_Corpus")


class Builder(Protocol):
    """The interface of a built-in corpus of pairs."""

    def __call__(
        self, seed: int = 0, *, train_size: int = ..., valid_size: int = ..., test_size: int = ...
    ) -> Corpus:
        """Generate the corpus, deterministically."""
        ...


BUILTIN: dict[str, Builder] = {"dates": dates.build, "numbers": numbers.build}
"""Name -> generator of a corpus of pairs."""


def load_builtin(name: str, seed: int = 0) -> Corpus:
    """Generate a built-in corpus of pairs in its default sizes.

    Raises:
        OptionError: the name is unknown (the nearest one is suggested).

    Example:
        >>> len(load_builtin("dates").test)
        1000
    """
    return _build("built-in corpus", BUILTIN, name, seed)


class TaggedBuilder(Protocol):
    """The interface of a built-in corpus of labelled tokens."""

    def __call__(
        self, seed: int = 0, *, train_size: int = ..., valid_size: int = ..., test_size: int = ...
    ) -> TaggedCorpus:
        """Generate the corpus, deterministically."""
        ...


BUILTIN_TAGGED: dict[str, TaggedBuilder] = {"saw": saw.build}


def load_builtin_tagged(name: str, seed: int = 0) -> TaggedCorpus:
    """Generate a built-in corpus of labelled tokens in its default sizes.

    Raises:
        OptionError: the name is unknown (the nearest one is suggested).

    Example:
        >>> len(load_builtin_tagged("saw").test)
        2000
    """
    return _build("built-in corpus of labelled tokens", BUILTIN_TAGGED, name, seed)


BUILTIN_SERIES: dict[str, Callable[[int], SeriesCorpus]] = {"waves": waves.build}


def load_builtin_series(name: str, seed: int = 0) -> SeriesCorpus:
    """Generate a built-in corpus of series in its default sizes.

    Raises:
        OptionError: the name is unknown (the nearest one is suggested).

    Example:
        >>> len(load_builtin_series("waves").test)
        300
    """
    return _build("built-in corpus of series", BUILTIN_SERIES, name, seed)


BUILTIN_AUDIO: dict[str, Callable[[int], AudioCorpus]] = {"tones": tones.build}


def load_builtin_audio(name: str, seed: int = 0) -> AudioCorpus:
    """Generate a built-in corpus of recordings in its default sizes.

    Raises:
        OptionError: the name is unknown (the nearest one is suggested).

    Example:
        >>> len(load_builtin_audio("tones").test)
        200
    """
    return _build("built-in corpus of recordings", BUILTIN_AUDIO, name, seed)


BUILTIN_GRAPHS: dict[str, Callable[[int], GraphCorpus]] = {"papers": papers.build}


@lru_cache(maxsize=2)
def load_builtin_graph(name: str, seed: int = 0) -> GraphCorpus:
    """Generate a built-in graph in its default size; the same object each time.

    Raises:
        OptionError: the name is unknown (the nearest one is suggested).

    Example:
        >>> len(load_builtin_graph("papers").table.part("test"))
        200
    """
    return _build("built-in graph", BUILTIN_GRAPHS, name, seed)


BUILTIN_SCENES: dict[str, Callable[[int], SceneCorpus]] = {"scenes": scenes.build}


def load_builtin_scenes(name: str, seed: int = 0) -> SceneCorpus:
    """Generate a built-in corpus of images with objects in its default sizes.

    Raises:
        OptionError: the name is unknown (the nearest one is suggested).

    Example:
        >>> len(load_builtin_scenes("scenes").test)
        300
    """
    return _build("built-in corpus of images with objects", BUILTIN_SCENES, name, seed)


BUILTIN_DIALOGUES: dict[str, Callable[[int], DialogueCorpus]] = {"answers": answers.build}


def load_builtin_dialogues(name: str, seed: int = 0) -> DialogueCorpus:
    """Generate a built-in corpus of dialogues in its default sizes.

    Raises:
        OptionError: the name is unknown (the nearest one is suggested).

    Example:
        >>> len(load_builtin_dialogues("answers").test)
        300
    """
    return _build("built-in corpus of dialogues", BUILTIN_DIALOGUES, name, seed)


def _build(
    what: str, table: Mapping[str, Callable[[int], _Corpus]], name: str, seed: int
) -> _Corpus:
    if name not in table:
        raise unknown_choice(what, name, table)
    return table[name](seed)


__all__ = [
    "BUILTIN",
    "BUILTIN_AUDIO",
    "BUILTIN_DIALOGUES",
    "BUILTIN_GRAPHS",
    "BUILTIN_SCENES",
    "BUILTIN_SERIES",
    "BUILTIN_TAGGED",
    "AudioCorpus",
    "Builder",
    "Corpus",
    "DialogueCorpus",
    "GraphCorpus",
    "SceneCorpus",
    "SeriesCorpus",
    "TaggedBuilder",
    "TaggedCorpus",
    "load_builtin",
    "load_builtin_audio",
    "load_builtin_dialogues",
    "load_builtin_graph",
    "load_builtin_scenes",
    "load_builtin_series",
    "load_builtin_tagged",
]
