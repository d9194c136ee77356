"""Subword merging: attention weights of words from those of their pieces."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from heedful.errors import ShapeError
from heedful.explore.schema import AttentionRecord

MERGED_NOTE: Final = "sub-words merged to words: summed over keys, averaged over queries"


def merge_words(
    record: AttentionRecord,
    *,
    queries: Sequence[int],
    keys: Sequence[int],
    query_words: Sequence[str],
    key_words: Sequence[str],
) -> AttentionRecord:
    """Merge subwords into words: sum over keys, average over queries.

    For words u, v with pieces q ∈ u, k ∈ v:  w(u, v) = 1/|u| Σ_q Σ_k w(q, k), so rows that sum to 1 still do.
    A pair of words is masked if every pair of its pieces is. The result has `merged` True, except if every
    piece is a whole word.

    Args:
        record: attention weights with one token per piece.
        queries, keys: word index of each token: from 0, non-decreasing, without gaps.
        query_words, key_words: the words.

    Raises:
        ShapeError: the indices do not match the tokens or the words.

    >>> pieces = AttentionRecord("a", "cross", 0, ("Häu", "ser"), ("hou", "ses"), [[[.5, .25], [.25, 0]]])
    >>> words = merge_words(
    ...     pieces, queries=[0, 0], keys=[0, 0], query_words=["Häuser"], key_words=["houses"]
    ... )
    >>> words.weights.tolist(), words.merged
    ([[[0.5]]], True)
    """
    _check("query", queries, record.query_tokens, query_words)
    _check("key", keys, record.key_tokens, key_words)
    query_member, key_member = _membership(queries), _membership(keys)
    per_query = query_member / query_member.sum(axis=1, keepdims=True)
    weights = per_query @ record.weights.astype(numpy.float64) @ key_member.T
    allowed = query_member @ record.allowed.astype(numpy.float64) @ key_member.T > 0
    changed = len(query_words) < len(queries) or len(key_words) < len(keys)
    return replace(
        record,
        query_tokens=tuple(query_words),
        key_tokens=tuple(key_words),
        weights=weights,
        mask=allowed,
        merged=record.merged or changed,
    )


def _membership(words: Sequence[int]) -> NDArray[Any]:
    """Return the matrix (words, pieces) that is 1 where the piece belongs to the word."""
    index = numpy.asarray(words)
    member: NDArray[Any] = numpy.arange(index[-1] + 1)[:, None] == index[None, :]
    return member.astype(numpy.float64)


def _check(axis: str, index: Sequence[int], tokens: Sequence[str], words: Sequence[str]) -> None:
    steps = [after - before for before, after in itertools.pairwise(index)]
    fits = len(index) == len(tokens) > 0 and index[0] == 0 and index[-1] == len(words) - 1
    if not fits or not set(steps) <= {0, 1}:
        raise ShapeError(
            f"{axis} word indices {list(index)} do not match {len(tokens)} tokens and {len(words)} words; "
            "expected one index per token, from 0 to the last word, non-decreasing, without gaps."
        )
