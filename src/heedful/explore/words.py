"""Merge the attention of sub-words into the attention of words."""

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
    """Merge sub-words to words: sum over keys, average over queries.

    With u, v words and their pieces q ∈ u, k ∈ v:  w(u, v) = 1/|u| Σ_q Σ_k w(q, k), so that a row which
    summed to 1 still does. A word pair is masked where every pair of its pieces is. The record says that
    it was merged; where each piece is a whole word nothing changes and `merged` stays False.

    Args:
        record: what was recorded, one token a piece.
        queries, keys: for each token the index of its word; they never decrease, from 0, without gaps.
        query_words, key_words: the words themselves.

    Raises:
        ShapeError: the indices do not fit the tokens or the words.

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
    """(words, pieces): 1 where the piece belongs to the word."""
    index = numpy.asarray(words)
    member: NDArray[Any] = numpy.arange(index[-1] + 1)[:, None] == index[None, :]
    return member.astype(numpy.float64)


def _check(axis: str, index: Sequence[int], tokens: Sequence[str], words: Sequence[str]) -> None:
    steps = [after - before for before, after in itertools.pairwise(index)]
    fits = len(index) == len(tokens) > 0 and index[0] == 0 and index[-1] == len(words) - 1
    if not fits or not set(steps) <= {0, 1}:
        raise ShapeError(
            f"{axis} word indices {list(index)} do not fit {len(tokens)} tokens and {len(words)} words; "
            "wanted one index a token, from 0 to the last word, never decreasing, without gaps."
        )
