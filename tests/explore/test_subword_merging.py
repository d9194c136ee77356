"""Merging sub-words: worked by hand."""

from __future__ import annotations

import numpy
import pytest

from heedful.errors import ShapeError
from heedful.explore import AttentionRecord, merge_words


def pieces(mask: object = None) -> AttentionRecord:
    """un|der|stand → ver|stehen |."""
    weights = [[[0.5, 0.2, 0.1, 0.2], [0.1, 0.7, 0.1, 0.1], [0.0, 0.1, 0.8, 0.1]]]
    return AttentionRecord(
        "m", "cross", 0, ("ver", "stehen", "."), ("un", "der", "stand", "."), weights, mask
    )


def merged(record: AttentionRecord) -> AttentionRecord:
    return merge_words(
        record,
        queries=[0, 0, 1],
        keys=[0, 0, 0, 1],
        query_words=["verstehen", "."],
        key_words=["understand", "."],
    )


def test_sum_over_keys_and_average_over_queries() -> None:
    words = merged(pieces())
    # verstehen → understand: ((.5 + .2 + .1) + (.1 + .7 + .1)) / 2; . → understand: 0 + .1 + .8
    numpy.testing.assert_allclose(words.weights, [[[0.85, 0.15], [0.9, 0.1]]], rtol=1e-6)
    numpy.testing.assert_allclose(words.weights.sum(axis=2), 1, rtol=1e-6)
    assert (words.query_tokens, words.key_tokens) == (("verstehen", "."), ("understand", "."))
    assert words.merged


def test_a_word_is_masked_where_all_its_pieces_are() -> None:
    mask = [[[True, False, False, False], [False] * 4, [False, False, False, True]]]
    assert merged(pieces(mask)).allowed[0].tolist() == [[True, False], [False, True]]


def test_whole_words_stay_and_are_not_called_merged() -> None:
    record = pieces()
    same = merge_words(
        record,
        queries=range(3),
        keys=range(4),
        query_words=record.query_tokens,
        key_words=record.key_tokens,
    )
    assert same == record
    assert not same.merged


def test_every_head_is_merged() -> None:
    one = pieces()
    both = AttentionRecord(
        "m", "cross", 0, one.query_tokens, one.key_tokens, [one.weights[0], one.weights[0][::-1]]
    )
    assert merged(both).head(0) == merged(one)
    numpy.testing.assert_allclose(merged(both).weights[1, 1], [0.8, 0.2], rtol=1e-6)


@pytest.mark.parametrize("queries", [[0, 1], [0, 1, 0], [0, 2, 2], [1, 1, 1], [0, 0, 0], [0, 1, 2]])
def test_indices_that_do_not_fit_are_refused(queries: list[int]) -> None:
    with pytest.raises(
        ShapeError, match=r"query word indices .* do not match 3 tokens and 2 words"
    ):
        merge_words(
            pieces(),
            queries=queries,
            keys=range(4),
            query_words=["a", "b"],
            key_words=["a", "b", "c", "d"],
        )
