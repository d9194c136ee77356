"""The report page: every kind of section, escaped, in order."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from heedful.errors import OptionError
from heedful.explore import (
    AttentionRecord,
    Chart,
    Code,
    KeyFigures,
    Maps,
    MetricTable,
    Paragraph,
    Series,
    report_page,
)
from heedful.explore.chart import line_chart, ticks

EVIL = "<script>alert(1)</script>"


def test_sections_come_in_their_order(cross: AttentionRecord) -> None:
    text = report_page(
        "Run",
        [
            Paragraph("", "It went well."),
            MetricTable("Results", ["metric", "valid", "test"], [["BLEU", "33.0", "32.5"]]),
            Chart("Loss", [Series("train", [(1, 3.0), (2, 1.5)])], "epoch", "loss"),
            Maps("Attention weights", [("one", [cross]), ("two", [cross])]),
            Code("What to do next", [("heedful explain RUN 'a man'", "See a sentence:")]),
        ],
    )
    places = [
        text.index(part)
        for part in (
            "<p>It went well.</p>",
            '<th scope="row">BLEU</th><td class="number">33.0</td><td class="number">32.5</td>',
            '<svg class="chart"',
            'id="maps-4-1"',
            'id="maps-4-2"',
            "heedful explain RUN &#x27;a man&#x27;",
        )
    ]
    assert places == sorted(places)
    assert text.count("<h2>") == 4
    assert text.count("data-records=") == 2


def test_every_text_is_escaped(hostile: AttentionRecord) -> None:
    text = report_page(
        EVIL,
        [
            Paragraph(EVIL, EVIL),
            MetricTable(EVIL, [EVIL, EVIL], [[EVIL, EVIL]]),
            Chart(EVIL, [Series(EVIL, [(0, 1), (1, 2)])], EVIL, EVIL),
            Maps(EVIL, [(EVIL, [hostile])]),
            Code(EVIL, [(EVIL, EVIL)]),
        ],
    )
    assert EVIL not in text
    types = re.findall(r'<script type="([^"]*)"', text)
    assert types == ["application/json", *["application/octet-stream"] * 2, "module"]
    assert text.count("<script") == len(types)


def test_a_report_without_maps_needs_none() -> None:
    assert "<h1>Run</h1>" in report_page("Run", [])
    with pytest.raises(OptionError, match="no attention records to draw"):
        report_page("Run", [Maps("", [("one", [])])])


def test_maps_say_what_they_show(cross: AttentionRecord) -> None:
    saliency = replace(cross, measure="gradient saliency")
    text = report_page("Run", [Maps("", [("one", [saliency])])])
    assert '<p class="note">Shown: gradient saliency.</p>' in text
    text = report_page("Run", [Maps("", [("one", [cross])])])
    assert '<p class="note">Shown: attention weights. ' in text


def test_the_answer_stands_first_and_the_rest_is_folded(cross: AttentionRecord) -> None:
    examples = [(f"text {n}", [cross]) for n in range(3)]
    text = report_page(
        "Run",
        [
            KeyFigures("", [("91.0 %", "accuracy"), (EVIL, EVIL)], "On 100 texts."),
            Maps("", examples, unfolded=1),
        ],
    )
    assert "<dt>accuracy</dt><dd>91.0 %</dd>" in text
    assert EVIL not in text
    assert "<h3>text 0</h3>" in text
    assert re.findall(r'<details class="example"><summary>(.*?)</summary>', text) == [
        "text 1",
        "text 2",
    ]


def test_a_matrix_shows_the_share_of_a_row_by_colour() -> None:
    rows = [["a", "1,000", "0"], ["b", "0", "0"]]
    text = report_page("Run", [MetricTable("", ["true", "a", "b"], rows, is_matrix=True)])
    cells = re.findall(r'<td class="number" style="background:(#\w+);color:(#\w+)">([^<]*)', text)
    assert cells == [
        ("#08306b", "#fff", "1,000"),
        *[("#f7fbff", "#000", "0")] * 3,
    ]


def points_of(svg: str) -> list[tuple[float, float]]:
    [path] = re.findall(r'<path d="M([^"]*)"', svg)
    return [(float(x), float(y)) for x, y in (place.split() for place in path.split("L"))]


def test_a_curve_goes_where_its_points_say() -> None:
    svg = line_chart([Series("loss", [(0, 4.0), (1, 2.0), (2, 0.0)])], "epoch", "loss")
    (x0, y0), (x1, y1), (x2, y2) = points_of(svg)
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y1 - y0 == pytest.approx(y2 - y1)
    assert y0 < y1 < y2
    ElementTree.fromstring(svg)


def test_points_that_are_no_numbers_are_left_out() -> None:
    svg = line_chart([Series("loss", [(0, math.nan), (1, 2.0), (2, 1.0), (3, math.inf)])], "x", "y")
    assert len(points_of(svg)) == 2
    assert "nan" not in svg
    assert "loss from 2 to 1" in svg


def test_one_point_is_a_dot_and_level_curves_work() -> None:
    assert "<circle" in line_chart([Series("loss", [(1, 2.0)])], "x", "y")
    assert len(points_of(line_chart([Series("loss", [(1, 2.0), (2, 2.0)])], "x", "y"))) == 2


def test_curves_differ_by_more_than_colour() -> None:
    both = [Series(name, [(0, 1.0), (1, number)]) for number, name in enumerate(("a", "b"))]
    root = ElementTree.fromstring(line_chart(both, "x", "y"))
    assert len({path.get("stroke-dasharray") for path in root.iter("path")}) == 2


def test_a_chart_needs_a_point() -> None:
    with pytest.raises(OptionError, match="at least one finite point"):
        line_chart([Series("loss", [(0, math.nan)])], "x", "y")
    with pytest.raises(OptionError, match="at least one finite point"):
        line_chart([], "x", "y")


@pytest.mark.parametrize("span", [(0, 1), (1, 30), (0.2, 0.21), (-5, 5), (3, 300_000), (2.5, 3.5)])
def test_ticks_are_few_round_and_inside(span: tuple[float, float]) -> None:
    found = ticks(*span)
    assert 2 <= len(found) <= 11
    assert all(span[0] - 1e-9 <= tick <= span[1] + 1e-9 for tick in found)
    assert all(len(f"{tick:g}") <= 6 for tick in found)


def test_columns_of_numbers_stand_on_the_right() -> None:
    rows = [["lstm", "1,234.5", "<0.001", "12 MiB", "not reached"], ["gru", "–", "0.5", "9 %", "3"]]
    text = report_page("Run", [MetricTable("", ["who", "n", "p", "memory", "seconds"], rows)])
    head = re.findall(r'<th scope="col"( class="number")?>(\w+)', text)
    assert [name for mark, name in head if mark] == ["n", "p", "memory"]
    assert text.count('<td class="number">') == 6
    assert report_page("Run", [MetricTable("", ["who", "n"], [])]).count("number") == (
        report_page("Run", []).count("number")
    )


def test_an_axis_of_time_begins_at_zero() -> None:
    series = [Series("lstm", [(17.0, 0.5), (50.0, 0.6)])]
    chart = Chart("Quality", series, "seconds", "accuracy", from_zero=True)
    assert 'text-anchor="middle">0</text>' in report_page("Run", [chart])
    assert 'text-anchor="middle">0</text>' not in report_page(
        "Run", [replace(chart, from_zero=False)]
    )


def test_long_numbers_stay_within_the_picture() -> None:
    drawn = line_chart(
        [Series("lstm", [(1254, 0.5), (12544, 0.9)])], "sentences", "accuracy", log_x=True
    )
    found = dict(re.findall(r'<text x="([\d.]+)"[^>]*>([\d,]+)</text>', drawn))
    assert list(found.values())[-2:] == ["1,254", "12,544"]
    assert float(list(found)[-1]) + 3.5 * len("12,544") <= 640
