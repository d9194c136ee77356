"""Differences of two models on one text, whose tokens may be cut differently."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import OptionError
from heedful.explore import AttentionRecord, draw_html
from heedful.explore.difference import DIFFERENCE, common_parts, differences
from heedful.explore.token_alignment import aligned_places
from tests.explore.browser import BROWSER, browsing
from tests.explore.pages import Page


def test_the_same_tokens_are_subtracted_and_masked_where_both_are(
    causal: AttentionRecord, cross: AttentionRecord
) -> None:
    other = replace(causal, weights=causal.weights[:, ::-1] * causal.allowed)
    [found] = differences([causal, cross], [other])
    np.testing.assert_allclose(found.weights, other.weights - causal.weights)
    assert (found.allowed == causal.allowed).all()
    assert found.measure == DIFFERENCE


def test_rows_named_by_predictions_have_both_names(cross: AttentionRecord) -> None:
    other = replace(cross, query_tokens=("ein", "Katze", "läuft"))
    [found] = differences([cross], [other])
    assert found.query_tokens == ("ein", "Hund|Katze", "läuft")


def test_other_numbers_of_heads_are_compared_by_their_means(cross: AttentionRecord) -> None:
    [found] = differences([cross], [cross.head(1)])
    np.testing.assert_allclose(
        found.weights[0], cross.weights[1] - cross.weights.mean(axis=0), atol=1e-7
    )


@pytest.mark.parametrize(
    ("first", "second", "parts"),
    [
        (("ab", "c"), ("a", "bc"), ["abc"]),
        (("▁a", "##b", "c"), ("ab", "c"), ["ab", "c"]),
        (("▁", "a", "b"), ("a", "b"), ["a", "b"]),
        (("a", "b", "▁"), ("a", "b"), ["a", "b"]),
    ],
)
def test_parts_cut_no_token(
    first: tuple[str, ...], second: tuple[str, ...], parts: list[str]
) -> None:
    *indices, found = common_parts(first, second)
    assert found == parts
    for tokens, index in zip((first, second), indices, strict=True):
        assert len(index) == len(tokens)
        assert sorted(set(index)) == list(range(len(parts)))


def test_texts_that_share_nothing_and_other_layers_are_refused(
    cross: AttentionRecord, causal: AttentionRecord
) -> None:
    with pytest.raises(OptionError, match="without a common token, 'a dog is running' and 'x y'"):
        differences(
            [cross], [replace(cross, key_tokens=("x", "y"), weights=cross.weights[..., :2])]
        )
    with pytest.raises(
        OptionError, match=r"no layer of attention in common.*cross, layer 1.*decoder"
    ):
        differences([cross], [causal])


def test_two_texts_are_put_beside_each_other() -> None:
    one, two = ("a", "cat"), ("a", "big", "cat")
    first = AttentionRecord("m", "encoder", 0, one, one, [[[0.5, 0.5], [0.0, 1.0]]])
    second = AttentionRecord(
        "m", "encoder", 0, two, two, [[[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.4, 0.6]]]
    )
    [found] = differences([first], [second])
    assert found.query_tokens == found.key_tokens == ("a", "+big", "cat")
    np.testing.assert_allclose(
        found.weights[0, [0, 2]], [[-0.3, 0.5, -0.2], [0, 0.4, -0.4]], atol=1e-6
    )
    # The first text has no such row; of a column that it lacks it takes nothing.
    assert not found.allowed[0, 1].any()
    assert found.allowed[0, [0, 2]].all()
    [back] = differences([second], [first])
    assert back.key_tokens == ("a", "−big", "cat")
    np.testing.assert_allclose(back.weights, -found.weights)


def test_rows_of_a_tagger_are_put_beside_each_other_by_their_words() -> None:
    one, two = (
        AttentionRecord(
            "m", "self", 0, tuple(map("{}/{}".format, words, labels)), words, [np.eye(len(words))]
        )
        for words, labels in (
            (("a", "cat"), ("DET", "NOUN")),
            (("a", "big", "cat"), ("X", "ADJ", "VERB")),
        )
    )
    [found] = differences([one], [two])
    assert found.query_tokens == ("a/DET|a/X", "+big/ADJ", "cat/NOUN|cat/VERB")
    assert found.key_tokens == ("a", "+big", "cat")


def test_a_word_in_place_of_another_is_one_column() -> None:
    first = AttentionRecord("m", "pooling", 0, ("good",), ("too", "tired"), [[[0.1, 0.9]]])
    second = AttentionRecord("m", "pooling", 0, ("bad",), ("too", "wide"), [[[0.4, 0.6]]])
    [found] = differences([first], [second])
    assert (found.query_tokens, found.key_tokens) == (("good|bad",), ("too", "tired|wide"))
    np.testing.assert_allclose(found.weights, [[[0.3, -0.3]]], atol=1e-6)


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_places_hold_each_token_once_in_order_and_as_many_pairs_as_can_be(
    first: list[str], second: list[str]
) -> None:
    places = aligned_places(first, second)
    for side, text in enumerate((first, second)):
        assert [place[side] for place in places if place[side] is not None] == list(
            range(len(text))
        )
    equal = sum(
        one is not None and two is not None and first[one] == second[two] for one, two in places
    )
    assert equal >= longest_common(tuple(first), tuple(second))


@functools.cache
def longest_common(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    if not first or not second:
        return 0
    if first[0] == second[0]:
        return 1 + longest_common(first[1:], second[1:])
    return max(longest_common(first[1:], second), longest_common(first, second[1:]))


def test_words_and_sub_words_are_each_compared_with_their_own() -> None:
    pieces = AttentionRecord("m", "cross", 0, ("x",), ("ho", "use"), [[[0.5, 0.5]]])
    word = AttentionRecord("m", "cross", 0, ("x",), ("house",), [[[1.0]]], merged=True)
    found = differences([pieces, word], [pieces, word])
    assert [record.key_tokens for record in found] == [("ho", "use"), ("house",)]


def test_the_scale_is_fixed_from_minus_1_to_1(cross: AttentionRecord, tmp_path: Path) -> None:
    found = differences([cross], [replace(cross, weights=cross.weights[::-1])])
    text = draw_html(found)
    [record] = Page(text).data()["records"]
    assert (record["top"], record["signed"]) == (1.0, True)
    if BROWSER is not None:
        with browsing(text, tmp_path) as (page, failures):
            assert "−1" in page.text_content(".legend")
        assert failures == []
