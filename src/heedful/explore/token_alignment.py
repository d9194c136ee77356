"""Which tokens of two texts belong together: the longest common subsequence, and what was put in place of the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Place = tuple[int | None, int | None]
"""A token of the first text and one of the second; None where one of them has none."""


def aligned_places(first: Sequence[str], second: Sequence[str]) -> list[Place]:
    """Return the places of two texts, in their order.

    Tokens of a longest common subsequence are one place. Between two of them, as many tokens in one text as in the
    other are places too, as words that were replaced; else each token is a place of its own.

    >>> aligned_places(("it", "was", "too", "tired"), ("it", "was", "too", "wide"))
    [(0, 0), (1, 1), (2, 2), (3, 3)]
    >>> aligned_places(("a", "cat"), ("a", "big", "cat"))
    [(0, 0), (None, 1), (1, 2)]
    """
    found: list[Place] = []
    before = (0, 0)
    for pair in [*_common(first, second), (len(first), len(second))]:
        gaps = [list(range(start, end)) for start, end in zip(before, pair, strict=True)]
        if len(gaps[0]) == len(gaps[1]):
            found += zip(*gaps, strict=True)
        else:
            found += [(one, None) for one in gaps[0]]
            found += [(None, two) for two in gaps[1]]
        if pair[0] < len(first):
            found.append(pair)
        before = pair[0] + 1, pair[1] + 1
    return found


def _common(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of a longest common subsequence."""
    tokens = {token: number for number, token in enumerate(dict.fromkeys([*first, *second]))}
    one, two = (np.array([tokens[each] for each in text], np.int64) for text in (first, second))
    # lengths[i, j]: of the texts from token i and token j on
    lengths = np.zeros((len(one) + 1, len(two) + 1), np.int32)
    for i in range(len(one) - 1, -1, -1):
        best = np.maximum(lengths[i + 1, :-1], lengths[i + 1, 1:] + (two == one[i]))
        lengths[i, :-1] = np.maximum.accumulate(best[::-1])[::-1]
    found, i, j = [], 0, 0
    while i < len(one) and j < len(two):
        if one[i] == two[j] and lengths[i, j] == lengths[i + 1, j + 1] + 1:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1, j] >= lengths[i, j + 1]:
            i += 1
        else:
            j += 1
    return found
