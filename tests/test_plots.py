"""The style of plots: labels apart from each other, text that follows dark pages, files replaced at once."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import OptionError
from heedful.plots import (
    DARK_INK,
    INK,
    MOST_LABELS,
    Bar,
    Curve,
    draw_bars,
    draw_curves,
    house_style,
    label_curves,
    new_figure,
    save,
    spread,
)


@given(st.lists(st.floats(0, 200), max_size=8), st.floats(1, 20))
def test_labels_keep_their_order_and_do_not_overlap(wanted: list[float], size: float) -> None:
    found = spread(wanted, [size] * len(wanted), 200.0)
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    for below, above in pairwise(order):
        assert found[above] - found[below] >= size - 1e-6
    assert all(place <= 200.0 for place in found)


def test_labels_that_are_apart_stay_where_they_are() -> None:
    assert spread([10.0, 90.0, 50.0], [10.0] * 3, 100.0) == [10.0, 90.0, 50.0]


def drawn(path: Path, number: int, title: str = "A title") -> str:
    curves = [
        Curve(name=f"model <{i}>", xs=[1, 2], ys=[i, i + 1], lows=[i, i], highs=[i, i + 2])
        for i in range(number)
    ]
    with house_style():
        figure, (axes,) = new_figure([2.5], title)
        draw_curves(axes, curves)
        label_curves(figure, [(axes, curves)])
        save(figure, path)
    return path.read_text(encoding="utf-8") if path.suffix == ".svg" else ""


@pytest.mark.parametrize("number", [1, MOST_LABELS, MOST_LABELS + 3])
def test_each_line_is_named_once(tmp_path: Path, number: int) -> None:
    text = drawn(tmp_path / "plot.svg", number)
    for i in range(number):
        assert text.count(f">model &lt;{i}&gt;<") == 1
    assert (">legend" in text or 'id="legend' in text) == (number > MOST_LABELS)


def test_text_turns_light_on_dark_pages_and_the_file_stays_valid(tmp_path: Path) -> None:
    text = drawn(tmp_path / "plot.svg", 2)
    root = ElementTree.fromstring(text)
    styles = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}style")]
    [dark] = [each for each in styles if "prefers-color-scheme: dark" in each]
    assert DARK_INK in dark
    inks = re.findall(r"fill: (#\w{6})", "".join(re.findall(r"<text[^>]*>", text)))
    assert inks
    assert set(inks) == {INK}


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    assert drawn(tmp_path / "one.svg", 3) == drawn(tmp_path / "other.svg", 3)


def test_the_width_is_that_of_a_phone_and_a_long_title_is_wrapped(tmp_path: Path) -> None:
    text = drawn(tmp_path / "plot.svg", 2, "a title that is much longer than the width " * 3)
    width = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', text)[1])  # type: ignore[index]
    assert width <= 390
    assert text.count("a title that is much longer") <= 3


def test_bars_have_their_names_and_numbers(tmp_path: Path) -> None:
    bars = [
        Bar(name="ours", value=2.0, text="2.0 s"),
        Bar(name="theirs", value=0.0, text="0 s", low=0.0, high=1.0),
    ]
    path = tmp_path / "bars.svg"
    with house_style():
        figure, (axes,) = new_figure([1.0], "")
        draw_bars(axes, bars)
        save(figure, path)
    text = path.read_text(encoding="utf-8")
    for wanted in ("ours", "theirs", "2.0 s", "0 s"):
        assert f">{wanted}<" in text


def test_png_has_a_white_page(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    drawn(path, 2)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"plot\.gif ends in '\.gif'"):
        drawn(tmp_path / "plot.gif", 1)
