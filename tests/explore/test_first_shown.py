"""Terminal, page and picture show the same layer first, as the mean over heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heedful.errors import OptionError
from heedful.explore import AttentionRecord, GoldAlignment, draw_html, first_shown
from heedful.explore.first_shown import shown_first
from heedful.explore.picture import draw_figure
from tests.explore.pages import Page


def layers(record: AttentionRecord) -> list[AttentionRecord]:
    return [
        replace(record, layer=layer, weights=record.weights / (layer + 1)) for layer in range(3)
    ]


def test_page_and_picture_open_with_the_same_record(
    cross: AttentionRecord, causal: AttentionRecord
) -> None:
    records = [causal, *layers(cross)]
    marked = shown_first(records, records[2])
    for chosen in (records, marked):
        first = first_shown(chosen)
        data = Page(draw_html(chosen)).data()
        opened = data["records"][data["first"]]
        assert (opened["kind"], opened["layer"]) == (first.kind, first.layer)
        large = draw_figure(chosen, title="", families=["sans-serif"]).axes[0]
        np.testing.assert_allclose(large.images[0].get_array(), first.mean().weights[0], rtol=1e-6)
    assert first_shown(records).layer == 2
    assert first_shown(marked).layer == 1


def test_words_before_sub_words_and_answers_before_positions(cross: AttentionRecord) -> None:
    encoder, rollout = replace(cross, kind="encoder"), replace(cross, kind="rollout")
    assert first_shown([encoder, rollout]) == rollout
    assert first_shown([cross, replace(cross, merged=True)]).merged
    with pytest.raises(OptionError, match="no attention records"):
        first_shown([])


def test_gold_links_are_checked(cross: AttentionRecord) -> None:
    with pytest.raises(OptionError, match="'0:0' is no link"):
        GoldAlignment.parse("0-0 0:0")
    with pytest.raises(
        OptionError, match="gold link 4-0 is outside of 4 source and 3 target words"
    ):
        draw_html([cross], gold=GoldAlignment.parse("4-0"))
    assert GoldAlignment.parse("1-1", skipped=[0, 2]).error_rate(cross) == 0
