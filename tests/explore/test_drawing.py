"""Weights on graphs, molecules, images and recordings, in a browser: they follow the menus and stay on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.data.audio.spectrogram import Spectrogram
from heedful.explore import AttentionRecord, draw_html
from heedful.explore.cells import ImageView
from heedful.explore.graph_view import GraphView
from heedful.explore.image_html import image_drawing
from heedful.explore.spectrogram import recording_drawing
from heedful.ops.grid import Grid
from tests.explore.browser import BROWSER, browsing

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")

NAMES = ("<a>", "b", "c", "d")
INDEX = np.array([[1, 2, 3, 0], [0, 0, 1, 1]])
EDGES = [[0.0, 0.25, 0.75, 0.0], [0.5, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


def titles(page: Any, element: str = "circle") -> list[str]:
    found: list[str] = page.evaluate(
        "(name) => [...document.querySelectorAll(`svg.drawing ${name} title`)].map((each) => each.textContent)",
        element,
    )
    return found


def inside(page: Any) -> list[str]:
    """The texts of the drawing that run out of it."""
    found: list[str] = page.evaluate(
        """() => {
          const room = document.querySelector('svg.drawing').getBoundingClientRect();
          return [...document.querySelectorAll('svg.drawing text')].filter((each) => {
            const box = each.getBoundingClientRect();
            return box.left < room.left - 1 || box.right > room.right + 1
              || box.top < room.top - 1 || box.bottom > room.bottom + 1;
          }).map((each) => each.textContent);
        }"""
    )
    return found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_neighbourhood_follows_layer_and_head(tmp_path: Path, width: int, scheme: str) -> None:
    first = [np.roll(EDGES, 1, axis=1).tolist(), EDGES]
    records = [
        AttentionRecord("a", "edges", layer, NAMES, NAMES, weights)
        for layer, weights in enumerate((first, [EDGES]))
    ]
    near = AttentionRecord(
        "a", "neighbours", 1, NAMES[:1], ("c", "b"), [[[0.75, 0.25]]], shown_first=True
    )
    view = GraphView.of_neighbourhood(NAMES, INDEX, 2)
    text = draw_html([near, *records], drawing=view.drawing)
    with browsing(text, tmp_path, width=width, scheme=scheme) as (page, failures):
        assert page.input_value('[data-menu="View"]') == "drawing"
        assert titles(page, "g") == ["“<a>”: 0", "“b”: 0.25", "“c”: 0.75", "“d”: 0"]
        page.select_option('[data-menu="Kind"]', "edges")
        # In the last layer the edges to the middle alone.
        assert "<a> – “c”: 0.75" in titles(page, "line")
        assert "b – “d”: 0" in titles(page, "line")
        page.select_option('[data-menu="Layer"]', "0")
        page.select_option('[data-menu="Head"]', "1")
        assert "b – “d”: 0.5" in titles(page, "line")
        page.select_option('[data-menu="Head"]', "0")
        assert "b – “d”: 0" in titles(page, "line")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert inside(page) == []
    assert failures == []


def test_a_molecule_is_drawn_by_its_atoms_and_one_can_be_chosen(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    from heedful.explore.molecule_view import molecule_view

    names = ("O1", "C2", "C3")
    weights = [[[0.5, 0.5, 0.0], [0.0, 0.2, 0.8], [0.1, 0.2, 0.7]]]
    view = molecule_view("OCC", names)
    assert view is not None
    text = draw_html(
        [AttentionRecord("a", "encoder", 0, names, names, weights)], drawing=view.drawing
    )
    with browsing(text, tmp_path) as (page, failures):
        assert titles(page, "g") == ["“O1”: 0.2", "“C2”: 0.3", "“C3”: 0.5"]
        assert "OH" in page.locator("svg.drawing").text_content()
        page.locator('svg.drawing g[data-key="1"]').click()
        assert titles(page, "g") == ["“O1”: 0", "“C2”: 0.2", "“C3”: 0.8"]
        assert "“C2” looked at" in page.inner_text(".words")
        with page.expect_download() as waiting:
            page.locator(".buttons button", has_text="SVG").click()
        saved = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert failures == []
    assert ">OH</text>" in saved
    assert "var(" not in saved


def test_the_formula_has_hydrogens_charges_and_the_orders_of_bonds() -> None:
    pytest.importorskip("rdkit")
    from heedful.explore.molecule_view import molecule_view

    view = molecule_view("[NH4+].C.O=C([O-])c1ccccc1", [str(n) for n in range(11)])
    assert view is not None
    assert view.labels is not None
    assert view.orders is not None
    assert view.labels[:5] == ("NH₄+", "CH₄", "O", "", "O−")
    assert sorted(view.orders) == [1] * 5 + [2] * 4
    assert molecule_view("CCO", ["a", "b"]) is None


def test_an_image_follows_the_head_and_shows_boxes_of_the_chosen_row(tmp_path: Path) -> None:
    cells = ("1,1", "1,2")
    pixels = np.zeros((1, 8, 16, 1), np.uint8)
    weights = [[[0.25, 0.75]], [[1.0, 0.0]]]
    record = AttentionRecord("a", "pooling", 0, ("cat",), cells, weights)
    text = draw_html([record], drawing=image_drawing(ImageView(pixels, Grid(1, 2))))
    with browsing(text, tmp_path, width=390) as (page, failures):
        assert titles(page, "rect") == ["“1,1”: 0.625", "“1,2”: 0.375"]
        page.select_option('[data-menu="Head"]', "1")
        assert titles(page, "rect") == ["“1,1”: 1", "“1,2”: 0"]
        fill = page.locator("svg.drawing rect").evaluate_all(
            "(all) => all.map((each) => each.getAttribute('fill-opacity'))"
        )
        assert fill == ["0.850", "0.000"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert failures == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("seconds", [0.31, 1.0, 7.9])
def test_a_recording_has_its_whole_axis_and_its_frequencies(
    tmp_path: Path, width: int, seconds: float
) -> None:
    rate, count = 16_000, 12
    middle = ((np.arange(count) + 0.5) * seconds / count).tolist()
    samples = np.sin(np.arange(round(seconds * rate)) / 9).astype(np.float32)
    shown = Spectrogram(
        samples, rate, np.eye(count, dtype=np.float32), middle, middle[2:], 20.0, 8000.0
    )
    record = AttentionRecord(
        "a", "pooling", 0, ("yes",), tuple(f"{m:.2f}" for m in middle[2:]), [[np.arange(10) / 45]]
    )
    text = draw_html([record], drawing=recording_drawing(shown))
    with browsing(text, tmp_path, width=width) as (page, failures):
        texts = page.locator("svg.drawing text").all_text_contents()
        assert texts[:2] == ["8,000 Hz", "20 Hz"]
        assert texts[2] == "0 s"
        assert 3 <= len(texts) - 2 <= 11
        assert inside(page) == []
        opacity = page.locator("svg.drawing rect.shade").evaluate_all(
            "(all) => all.map((each) => Number(each.getAttribute('fill-opacity')))"
        )
        # What trimming cut off, then from no weight to the largest.
        assert opacity[0] == opacity[1] == 0.8
        assert opacity[-1] == 0
        assert opacity[1:] == sorted(opacity[1:], reverse=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert failures == []


def test_a_page_that_was_written_before_drawings_opens(
    cross: AttentionRecord, tmp_path: Path
) -> None:
    text = draw_html([cross]).replace('"drawing":null,', "")
    with browsing(text, tmp_path) as (page, failures):
        assert page.input_value('[data-menu="View"]') == "map"
    assert failures == []
