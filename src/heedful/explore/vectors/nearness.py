"""Nearest neighbours of a word, and word vectors in two dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.errors import OptionError
from heedful.explore.vectors.tables import WordVectors

Numbers = NDArray[np.float64]
ONE_HOT_DISTANCE: Final = float(np.sqrt(2))
"""The distance of any two one-hot vectors, whose cosine is 0."""


class Neighbour(NamedTuple):
    """A word near another."""

    word: str
    cosine: float
    distance: float
    """Between the vectors at length 1: √(2 − 2 cos), between 0 and 2."""


def unit(values: NDArray[np.floating[Any]]) -> Numbers:
    """Return the vectors at length 1; those of length 0 as they are."""
    wide = values.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0))


def neighbours(table: WordVectors, word: str, count: int) -> list[Neighbour]:
    """Return the words of the greatest cosine with a word, itself aside.

    Raises: DataError for a word without a vector.

    >>> values = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> [each.word for each in neighbours(WordVectors("made up", ("a", "b", "c"), values), "a", 2)]
    ['b', 'c']
    """
    place = table.index(word)
    units = unit(table.values)
    cosines = units @ units[place]
    cosines[place] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: min(count, len(table.words) - 1)]
    return [
        Neighbour(
            table.words[at],
            float(cosines[at]),
            float(np.sqrt(max(0.0, 2 - 2 * cosines[at]))),
        )
        for at in order
    ]


class Map(NamedTuple):
    """Words in two dimensions."""

    places: Numbers
    """(words, 2)."""
    axes: tuple[str, str]
    """What the axes say."""


def pca(values: Numbers) -> Map:
    """Return the two directions along which the vectors vary most, with their shares of the variance.

    Signs are such that the largest entry of each direction is positive.

    >>> pca(np.array([[1.0, 0.0, 5.0], [3.0, 0.0, 5.0]])).places.tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    centred = values - values.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    rows = np.arange(len(directions))
    signs = np.sign(directions[rows, np.abs(directions).argmax(axis=1)])
    places = centred @ (directions * np.where(signs == 0, 1, signs)[:, None]).T
    places = np.pad(places, ((0, 0), (0, max(0, 2 - places.shape[1]))))[:, :2]
    places[:, np.flatnonzero(np.pad(sizes, (0, 2))[:2] <= 1e-12 * max(sizes.max(), 1e-300))] = 0.0
    shares = np.pad(sizes**2 / max(float((sizes**2).sum()), 1e-300), (0, 2))[:2]
    first, second = (
        f"component {n}: {share:.0%} of the variance" for n, share in enumerate(shares, 1)
    )
    return Map(places, (first, second))


def tsne(values: Numbers) -> Map:
    """Return t-SNE of the vectors (van der Maaten and Hinton 2008), begun at their principal components.

    Distances between groups mean little in it, only who is beside whom.

    Raises: OptionError for fewer than four words, or without scikit-learn.
    """
    if len(values) < 4:
        raise OptionError(f"t-SNE wants at least 4 words; got {len(values)}. Use pca.")
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise OptionError(
            "t-SNE needs scikit-learn, which is not installed; install it with pip install 'heedful[maps]', or use pca."
        ) from error
    perplexity = min(30.0, (len(values) - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(values)
    return Map(np.asarray(found, np.float64), ("t-SNE 1", "t-SNE 2"))


METHODS: Final[dict[str, Callable[[Numbers], Map]]] = {"pca": pca, "tsne": tsne}
"""Name -> vectors (words, width) in two dimensions."""


def distances(values: NDArray[np.floating[Any]]) -> Numbers:
    """Return the distance of each pair of vectors at length 1, (pairs,)."""
    units = unit(values)
    rows, columns = np.triu_indices(len(units), k=1)
    return np.asarray(np.sqrt(np.maximum(0.0, 2 - 2 * (units[rows] * units[columns]).sum(-1))))
