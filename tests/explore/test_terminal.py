"""The terminal: shades, alignment, masks, a legend, and what does not fit is said."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy
import pytest
from rich.cells import cell_len
from rich.console import Console

from heedful.errors import OptionError
from heedful.explore import AttentionRecord, heat_map
from heedful.explore.terminal import MIN_WIDTH, STYLES, style_for
from heedful.explore.tokens import graphemes, truncate, truncate_text, visible


def record(queries: tuple[str, ...], keys: tuple[str, ...]) -> AttentionRecord:
    weights = numpy.full((1, len(queries), len(keys)), 1 / len(keys))
    return AttentionRecord("", "cross", 0, queries, keys, weights)


def rows(text: str, queries: int) -> list[str]:
    lines = text.splitlines()
    legend = next(i for i, line in enumerate(lines) if line.startswith("attention weights"))
    return lines[legend - queries : legend]


def test_shades_grow_with_the_weight() -> None:
    keys = ("a", "b", "c", "d", "e")
    one = AttentionRecord("", "cross", 0, ("q",), keys, [[[0.0, 0.0625, 0.25, 0.5625, 1.0]]])
    [row] = rows(heat_map(one, style="shades").plain, 1)
    assert row == "q    ░░▒▒▓▓██"
    [row] = rows(heat_map(one, style="ascii").plain, 1)
    assert row == "q    ::==##@@"


def test_colours_grow_darker_and_masked_cells_are_hatched(causal: AttentionRecord) -> None:
    text = heat_map(causal)
    *_, last = rows(text.plain, 3)
    assert rows(text.plain, 3)[0].endswith("╱╱╱╱")
    assert "╱" not in last
    backgrounds = [str(span.style) for span in text.spans if "on rgb" in str(span.style)]
    assert "on rgb(8,48,107)" in backgrounds  # a weight of 1, and the end of the legend
    assert "on rgb(222,235,247)" in backgrounds


@pytest.mark.parametrize("style", STYLES)
def test_the_legend_goes_from_0_to_1(cross: AttentionRecord, style: str) -> None:
    legend = heat_map(cross, style=style).plain.splitlines()[-1]
    assert legend.startswith("attention weights, square-root scale 0 ")
    assert " 1 " in legend
    assert legend.endswith("masked " + STYLES[style].masked * 2)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [32, 40, 80])
def test_nothing_is_wider_than_the_terminal(width: int, style: str) -> None:
    keys = tuple(f"schlüssel{i}" for i in range(60))
    text = heat_map(
        record(("Donaudampfschifffahrtsgesellschaft", "好"), keys), width=width, style=style
    )
    assert max(cell_len(line) for line in text.plain.splitlines()) <= width
    said = " ".join(text.plain.split())
    assert "more columns do not fit here; an .html file shows them all" in said
    [left_off] = re.findall(r"(\d+) more columns", said)
    margin = cell_len(rows(text.plain, 2)[0].rstrip(" ░▒▓█.:-=+*#%@")) + 2
    assert 60 - int(left_off) == (width - margin) // 2


def test_wide_characters_stay_in_their_columns() -> None:
    keys, queries = ("五月", "a", "三", "日"), ("二", "xyz", "é\u0301")
    text = heat_map(record(queries, keys), style="shades").plain
    found = rows(text, 3)
    assert len({cell_len(line) for line in found}) == 1
    labels = text.splitlines()[1:-4]
    assert labels[-1].split() == ["月a", "三日"]
    assert cell_len(labels[-1]) == cell_len(found[0])
    assert labels[0].strip() == "五"


def test_hostile_tokens_keep_the_lines(hostile: AttentionRecord) -> None:
    text = heat_map(hostile, style="shades").plain
    assert "\u202e" not in text
    assert len(rows(text, len(hostile.query_tokens))) == len(hostile.query_tokens)
    assert "\u2028" not in text


def test_ascii_is_ascii(hostile: AttentionRecord) -> None:
    assert heat_map(replace(hostile, kind="cross"), style="ascii").plain.isascii()
    assert heat_map(record(("五月",), ("é", "好")), style="ascii").plain.isascii()


def test_what_was_done_to_the_weights_is_said(cross: AttentionRecord) -> None:
    text = heat_map(replace(cross, merged=True)).plain
    assert "cross: output × input, layer 1, mean over 2 heads" in text
    assert "sub-words merged to words: summed over keys, averaged over queries" in text
    assert "mean over" not in heat_map(cross.head(0)).plain
    assert (
        heat_map(replace(cross, measure="saliency")).plain.splitlines()[-1].startswith("saliency")
    )


def test_what_is_refused(cross: AttentionRecord) -> None:
    with pytest.raises(OptionError, match="unknown terminal style 'colour'; did you mean 'color'"):
        heat_map(cross, style="colour")


def test_a_terminal_that_is_too_narrow_gets_the_narrowest_map(cross: AttentionRecord) -> None:
    assert heat_map(cross, width=3).plain == heat_map(cross, width=MIN_WIDTH).plain


def test_the_style_is_the_richest_that_the_console_shows(cross: AttentionRecord) -> None:
    class Old(io.StringIO):
        encoding = "ascii"  # type: ignore[assignment]

    colourful = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    plain = Console(file=io.StringIO(), color_system=None)
    old = Console(file=Old(), color_system=None)
    assert [style_for(console) for console in (colourful, plain, old)] == [
        "color",
        "shades",
        "ascii",
    ]
    plain.print(heat_map(cross, width=plain.width, style="shades"))


def test_tokens_are_made_visible() -> None:
    assert visible("") == "∅"
    assert visible(" \t\n\u2028\u00a0") == "␣→⏎⏎␣"
    assert visible("\x00\u202e\u200b\ud800") == "����"
    assert visible("straße 好") == "straße␣好"


def test_letters_keep_what_belongs_together() -> None:
    assert graphemes("e\u0301a") == ["e\u0301", "a"]
    assert graphemes("👩\u200d👧!") == ["👩\u200d👧", "!"]
    assert graphemes("👍🏽") == ["👍🏽"]


def test_clipping_counts_cells() -> None:
    assert truncate("五月三日", 8) == "五月三日"
    assert truncate("五月三日", 7) == "五月三…"
    assert truncate("五月三日", 6) == "五月…"
    assert truncate_text("a  b\nc", 20) == "a b c"
    assert truncate_text("a\u202eb", 20) == "a�b"
