"""Differences of two models on one text, whose tokens may be cut differently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heedful.errors import OptionError
from heedful.explore import AttentionRecord, draw_html
from heedful.explore.difference import DIFFERENCE, common_parts, differences
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


def test_different_texts_and_layers_are_refused(
    cross: AttentionRecord, causal: AttentionRecord
) -> None:
    with pytest.raises(
        OptionError, match="read different texts, 'adogisrunning' and 'acatisrunning'"
    ):
        differences([cross], [replace(cross, key_tokens=("a", "cat", "is", "running"))])
    with pytest.raises(
        OptionError, match="no layer of attention in common.*cross, layer 1.*decoder"
    ):
        differences([cross], [causal])


def test_the_scale_is_fixed_from_minus_1_to_1(cross: AttentionRecord, tmp_path: Path) -> None:
    found = differences([cross], [replace(cross, weights=cross.weights[::-1])])
    text = draw_html(found)
    [record] = Page(text).data()["records"]
    assert (record["top"], record["signed"]) == (1.0, True)
    if BROWSER is not None:
        with browsing(text, tmp_path) as (page, failures):
            assert "−1" in page.text_content(".legend")
        assert failures == []
