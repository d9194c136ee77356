"""Pictures: what is on them, fonts for any script or a clear message, and no global state."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import PathPatch

from heedful.errors import OptionError
from heedful.explore import RENDERERS, AttentionRecord, fonts, save
from heedful.explore.fonts import MissingFontError, font_families
from heedful.explore.picture import draw_figure
from heedful.explore.renderers import renderer_for


def layers(record: AttentionRecord, count: int) -> list[AttentionRecord]:
    return [replace(record, layer=layer) for layer in range(count)]


def figure(records: list[AttentionRecord], title: str = "title") -> Figure:
    drawn = draw_figure(records, title=title, families=["DejaVu Sans"])
    FigureCanvasAgg(drawn).draw()
    return drawn


def texts(drawn: Figure) -> list[str]:
    return [text.get_text() for text in drawn.texts]


def hatched(drawn: Figure) -> list[PathPatch]:
    return [
        patch
        for axes in drawn.axes
        for patch in axes.patches
        if isinstance(patch, PathPatch) and patch.get_hatch()
    ]


def test_what_is_written_lies_within_the_picture(cross: AttentionRecord) -> None:
    drawn = figure(layers(cross, 2))
    boxes = [text.get_window_extent() for text in drawn.texts]
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= drawn.bbox.width


def test_one_map_has_its_labels_and_a_bar_from_0_to_1(cross: AttentionRecord) -> None:
    drawn = figure([cross.head(0)])
    large, bar = drawn.axes
    assert [label.get_text() for label in large.get_yticklabels()] == list(cross.query_tokens)
    assert [label.get_text() for label in large.get_xticklabels()] == list(cross.key_tokens)
    assert [label.get_text() for label in bar.get_xticklabels()] == [
        "0",
        "0.05",
        "0.25",
        "0.5",
        "1",
    ]
    assert bar.get_xlim() == (0, 1)
    assert large.images[0].get_clim() == (0, 1)
    assert "attention weights, square-root scale" in texts(drawn)
    assert "cross: output × input, layer 1" in texts(drawn)
    assert [text.get_text() for text in large.texts][:2] == ["0.70", "0.10"]


def test_a_transformer_has_every_layer_and_head(
    cross: AttentionRecord, causal: AttentionRecord
) -> None:
    drawn = figure([*layers(cross, 3), *layers(causal, 2)])
    # A large map a kind, 3 × 2 and 2 × 1 small ones, and the colour bar.
    assert len(drawn.axes) == 2 + 6 + 2 + 1
    assert any("large: layer 3, mean over 2 heads" in text for text in texts(drawn))
    assert {"layer 3", "head 2"} <= set(texts(drawn))
    first = drawn.axes[0].images[0].get_array()
    numpy.testing.assert_allclose(first, cross.mean().weights[0], rtol=1e-6)


def test_masked_cells_are_hatched_and_have_no_colour(causal: AttentionRecord) -> None:
    drawn = figure([causal])
    [patch] = hatched(drawn)
    array = drawn.axes[0].images[0].get_array()
    numpy.testing.assert_array_equal(numpy.ma.getmaskarray(array), ~causal.allowed[0])
    covered = patch.get_path()
    for query, key in numpy.ndindex(3, 3):
        inside = covered.contains_point((key + 0.5, query + 0.5))
        assert inside == (not causal.allowed[0, query, key])


def test_nothing_is_hatched_where_nothing_is_masked(cross: AttentionRecord) -> None:
    assert hatched(figure([cross])) == []


def test_hatching_reaches_the_pixels(causal: AttentionRecord, tmp_path: Path) -> None:
    save([causal], tmp_path / "masked.png")
    save([replace(causal, mask=None)], tmp_path / "zero.png")
    masked, zero = imread(tmp_path / "masked.png"), imread(tmp_path / "zero.png")
    assert masked.shape == zero.shape
    assert (abs(masked - zero).max(axis=2) > 0.2).mean() > 0.002


def test_png_pixels_follow_the_weights(cross: AttentionRecord, tmp_path: Path) -> None:
    save([cross.head(0)], tmp_path / "a.png")
    pixels = imread(tmp_path / "a.png")
    assert min(pixels.shape[:2]) > 300
    drawn = figure([cross.head(0)])
    box = drawn.axes[0].get_position()
    height, width = pixels.shape[:2]

    def corner(query: int, key: int) -> numpy.ndarray:  # type: ignore[type-arg]
        """A pixel near a cell's upper left corner, where no number stands."""
        x = box.x0 + (key + 0.12) / 4 * box.width
        y = 1 - box.y1 + (query + 0.12) / 3 * box.height
        return pixels[int(y * height), int(x * width), :3]  # type: ignore[no-any-return]

    darkness = [1 - corner(1, key).mean() for key in range(4)]
    assert darkness[1] > 0.5 > 0.3 > darkness[2] > darkness[0] + 0.1
    assert darkness[0] == pytest.approx(darkness[3], abs=0.01)


def test_labels_stay_readable_and_inside_the_picture() -> None:
    count = 60
    long = tuple(f"Donaudampfschifffahrt{i}" for i in range(count))
    record = AttentionRecord("", "cross", 0, long, long, [numpy.eye(count)])
    drawn = figure([record])
    canvas = drawn.bbox
    large = drawn.axes[0]
    labels = [*large.get_xticklabels(), *large.get_yticklabels()]
    assert {label.get_fontsize() for label in labels} == {9.0}
    for label in labels:
        box = label.get_window_extent()
        assert canvas.x0 <= box.x0 <= box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0 <= box.y1 <= canvas.y1
    cell = large.get_window_extent().height / count / drawn.dpi * 72
    assert cell > 11  # points: rows of 9-point labels do not touch


def test_svg_keeps_text_as_text_in_any_script(tmp_path: Path) -> None:
    tokens = ("五月", "مرحبا", "हिन्दी", "😀", "<&>", "$x^2$")
    record = AttentionRecord("", "cross", 0, tokens, tokens, [numpy.eye(6)])
    save([record], tmp_path / "a.svg", title="日 <title>")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    found = [
        "".join(node.itertext())
        for node in ElementTree.fromstring(text).iter()
        if "text" in node.tag
    ]
    for token in (*tokens, "日 <title>", "attention weights, square-root scale", "0.25"):
        assert token in [item.strip() for item in found]


def test_svg_hatches_and_asks_for_nothing(causal: AttentionRecord, tmp_path: Path) -> None:
    save([causal], tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "<pattern" in text
    assert re.search(r"fill: url\(#", text)
    for reference in re.findall(r'href="([^"]{0,5})', text):
        assert reference.startswith(("#", "data:"))
    save([causal], tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_text(encoding="utf-8") == text


def test_merging_and_other_measures_are_said(cross: AttentionRecord) -> None:
    drawn = figure([replace(cross, merged=True, measure="saliency")])
    assert "sub-words merged to words: summed over keys, averaged over queries" in texts(drawn)
    assert "saliency, square-root scale" in texts(drawn)
    assert not any("attention weights" in text for text in texts(drawn))
    assert not any("merged" in text for text in texts(figure([cross])))


def test_records_of_other_tokens_show_the_last_layer(cross: AttentionRecord) -> None:
    other = replace(cross, layer=1, key_tokens=("w", "x", "y", "z"))
    drawn = figure([cross, other])
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["w", "x", "y", "z"]


def test_long_titles_are_cut(cross: AttentionRecord) -> None:
    drawn = figure([cross], title="word " * 100)
    title = drawn.texts[0]
    assert title.get_text().endswith("…")
    assert title.get_window_extent().x1 <= drawn.bbox.x1


def test_no_global_state_is_touched(cross: AttentionRecord, tmp_path: Path) -> None:
    from matplotlib import _pylab_helpers

    before = dict(matplotlib.rcParams)
    for name in ("a.png", "a.svg"):
        save([cross], tmp_path / name)
    assert dict(matplotlib.rcParams) == before
    assert _pylab_helpers.Gcf.figs == {}


def test_matplotlib_is_loaded_only_to_draw_a_picture() -> None:
    program = "import sys, heedful.explore; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def only_the_font_of_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    default = font_manager.findfont(fonts.DEFAULT_FAMILY)
    entries = [entry for entry in font_manager.fontManager.ttflist if entry.fname == default]
    monkeypatch.setattr(fonts, "_installed", lambda: tuple(entries))


@pytest.mark.parametrize(
    ("token", "named"),
    [
        ("五月三日", ["Chinese", "fonts-noto-cjk", "Noto Sans CJK", "五"]),
        ("ひらがな", ["Japanese", "fonts-noto-cjk"]),
        ("한국어", ["Korean", "fonts-noto-cjk"]),
        ("हिन्दी", ["Devanagari", "fonts-noto-core", "Noto Sans Devanagari"]),
        ("👩\u200d👧", ["emoji", "fonts-symbola"]),
    ],
)
def test_a_missing_font_is_named_and_no_file_is_made(
    token: str, named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_the_font_of_matplotlib(monkeypatch)
    record = AttentionRecord("", "cross", 0, (token,), ("a",), [[[1.0]]])
    with pytest.raises(MissingFontError, match="no installed font has glyphs for") as caught:
        save([record], tmp_path / "a.png")
    for word in (*named, "write .html or .svg"):
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_title_needs_a_font_too(
    cross: AttentionRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_the_font_of_matplotlib(monkeypatch)
    with pytest.raises(MissingFontError, match="Chinese"):
        save([cross], tmp_path / "a.png", title="五")


def test_fonts_are_added_only_where_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    only_the_font_of_matplotlib(monkeypatch)
    assert font_families(["Straße", "мир", "\u200d\ufe0f \n"]) == ["DejaVu Sans"]
    entries = [
        font_manager.FontEntry(fname=name, name=name, weight=400)
        for name in ("half", "both", "none")
    ]
    monkeypatch.setattr(fonts, "_installed", lambda: tuple(entries))
    known = {"half": {ord("五")}, "both": {ord("五"), ord("月")}, "none": set[int]()}
    real = fonts._code_points
    monkeypatch.setattr(fonts, "_code_points", lambda path: known.get(path) or real(path))
    assert font_families(["五月"]) == ["DejaVu Sans", "both"]


def test_unreadable_and_boxes_only_fonts_count_as_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"not a font")
    assert fonts._code_points(str(broken)) == frozenset()
    assert not any("Last Resort" in entry.name for entry in fonts._installed())


def has_chinese() -> bool:
    try:
        font_families(["五月三日"])
    except MissingFontError:
        return False
    return True


@pytest.mark.skipif(not has_chinese(), reason="no font with Chinese is installed (fonts-noto-cjk)")
def test_chinese_is_drawn_and_not_as_boxes(tmp_path: Path) -> None:
    record = AttentionRecord("", "cross", 0, ("五", "月"), ("三", "日"), [numpy.eye(2)])
    save([record], tmp_path / "a.png")  # a missing glyph is a warning, and warnings are errors
    other = replace(record, query_tokens=("三", "日"))
    save([other], tmp_path / "b.png")
    different = abs(imread(tmp_path / "a.png") - imread(tmp_path / "b.png")).max(axis=2) > 0.3
    assert different.sum() > 20  # boxes would all be alike


@pytest.mark.parametrize("ending", sorted(RENDERERS))
def test_every_renderer_draws_every_record(
    ending: str, cross: AttentionRecord, causal: AttentionRecord, tmp_path: Path
) -> None:
    path = tmp_path / f"picture{ending.upper()}"
    save([*layers(cross, 2), causal], path, title="two kinds")
    assert path.stat().st_size > 2000


def test_an_ending_that_nothing_draws_to(cross: AttentionRecord, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"unknown ending of a picture '.pgn'; did you mean '.png'"
    ):
        save([cross], tmp_path / "a.pgn")
    with pytest.raises(OptionError, match="unknown ending of a picture 'alignment'"):
        renderer_for("alignment")
    for ending in RENDERERS:
        with pytest.raises(OptionError, match="no attention records to draw"):
            save([], tmp_path / f"a{ending}")
    with pytest.raises(OptionError, match="no attention records to draw"):
        draw_figure([], title="", families=["DejaVu Sans"])
    assert list(tmp_path.iterdir()) == []
