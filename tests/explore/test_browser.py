"""The page in a real browser, where one is installed: what its script draws and how it answers."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.explore import AttentionRecord, draw_html
from heedful.explore.explanation import Explanation
from heedful.explore.gold import GoldAlignment
from heedful.explore.html import figure_values
from tests.explore.browser import (
    AXE,
    BROWSER,
    browsing,
    open_details,
    saved_files,
    serious_findings,
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")

EVIL = "</script><img src=x onerror=alert(1)>"


def readout(page: Any) -> str:
    return str(page.inner_text(".readout"))


def test_a_person_moves_through_the_page(
    cross: AttentionRecord, causal: AttentionRecord, tmp_path: Path
) -> None:
    named = replace(cross, query_tokens=(EVIL, "Hund", "läuft"))
    text = draw_html([named, replace(named, layer=1), causal])
    with browsing(text, tmp_path) as (page, failures):
        map_ = page.locator(".cells")
        map_.focus()
        page.keyboard.press("ArrowRight")
        assert readout(page).startswith(f"“{EVIL.replace(' ', '␣')}” → “a”: 0.4; row: sum 1,")
        page.keyboard.press("ArrowDown")
        assert readout(page).startswith("“Hund” → “a”: 0;")
        page.select_option('[data-menu="Kind"]', "decoder")
        map_.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert readout(page).startswith("“<begin>” → “ein”: masked, may not attend")
        page.select_option('[data-menu="Kind"]', "cross")
        page.locator('.overview button[aria-label="layer 1, head 2"]').click()
        assert page.input_value('[data-menu="Layer"]') == "0"
        assert page.input_value('[data-menu="Head"]') == "1"
        page.select_option('[data-menu="Scale"]', "linear")
        assert "attention weights, linear scale" in page.inner_text(".legend")
        page.wait_for_timeout(250)
        address = page.evaluate("location.hash")
    assert failures == []
    with browsing(text, tmp_path, place=address.removeprefix("#")) as (page, failures):
        assert page.input_value('[data-menu="Scale"]') == "linear"
        assert page.input_value('[data-menu="Head"]') == "1"
        assert page.locator("img").count() == 0
    assert failures == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_cells_have_the_colours_of_their_weights_and_nothing_runs_over_the_page(
    cross: AttentionRecord, tmp_path: Path, width: int, scheme: str
) -> None:
    with browsing(draw_html([cross]), tmp_path, width=width, scheme=scheme) as (page, failures):
        colours = page.evaluate(
            """() => {
              const canvas = document.querySelector('.map canvas');
              const pen = canvas.getContext('2d');
              const at = (q, k) => pen.getImageData(
                (k + 0.08) * canvas.width / 4, (q + 0.08) * canvas.height / 3, 1, 1).data;
              return [0, 1, 2].map((q) => [0, 1, 2, 3].map((k) => at(q, k).slice(0, 3).reduce((a, b) => a + b) / 3));
            }"""
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert failures == []
    weights = cross.mean().weights[0].ravel()
    order, light = np.argsort(weights), np.array(colours).ravel()
    differences = np.diff(light[order]) * (1 if scheme == "dark" else -1)
    assert (differences >= -0.5).all()
    assert abs(light[order[-1]] - light[order[0]]) > 80


def test_a_label_opens_as_coloured_words_and_a_long_text_as_a_whole_map(tmp_path: Path) -> None:
    words = tuple(f"word{i}" for i in range(300))
    weights = np.random.default_rng(0).dirichlet(np.ones(300), (2, 300))
    low = AttentionRecord("a", "encoder", 0, words, words, weights)
    pooled = AttentionRecord("b", "pooling", 0, ("good",), words, weights[:1, :1])
    with browsing(draw_html([low, pooled]), tmp_path, width=390) as (page, failures):
        assert page.locator(".words.large .keys span").count() == 300
        best = int(weights[0, 0].argmax())
        assert f"“word{best}”" in page.inner_text(".words .note")
        page.select_option('[data-menu="Kind"]', "encoder")
        box = page.locator(".map canvas").bounding_box()
        assert box["width"] <= 390
        assert box["height"] >= 240
        page.evaluate("document.querySelector('.more').open = true")
        for _ in range(8):
            page.click('button[aria-label="larger cells"]')
        assert 5 < page.locator("svg.rows text").count() < 100
        page.locator(".cells").evaluate("node => node.scrollTo(0, 1e9)")
        page.wait_for_timeout(100)
        assert "word299" in page.locator("svg.rows").text_content()
    assert failures == []


def test_lines_alignment_and_gold_links(cross: AttentionRecord, tmp_path: Path) -> None:
    gold = GoldAlignment.parse("0-0 1-1 3?2")
    text = draw_html([cross], gold=gold)
    with browsing(text, tmp_path) as (page, failures):
        assert f"gold links: {gold.error_rate(cross):.4g} " in page.inner_text(".facts")
        for view in ("lines", "alignment"):
            page.select_option('[data-menu="View"]', view)
            assert page.locator("svg.lines path.gold").count() == 3
            every = page.locator("svg.lines path:not(.gold)").count()
            page.locator("svg.lines text", has_text="Hund").click()
            assert 0 < page.locator("svg.lines path:not(.gold)").count() < every
            page.locator("svg.lines text", has_text="Hund").click()
    assert failures == []


def test_the_view_can_be_saved(cross: AttentionRecord, tmp_path: Path) -> None:
    with browsing(draw_html([cross]), tmp_path) as (page, failures):
        files = saved_files(page, ".buttons")
    assert failures == []
    assert b"square-root scale" in files["SVG"]
    rows = list(csv.reader(io.StringIO(files["CSV"].decode("utf-8-sig"))))
    assert rows[0] == ["", *cross.key_tokens]
    assert [row[0] for row in rows[1:]] == list(cross.query_tokens)
    read = np.array([[float(cell) for cell in row[1:]] for row in rows[1:]])
    np.testing.assert_allclose(read, cross.mean().weights[0], rtol=1e-5)


def test_a_sink_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    words = tuple("abcdef")
    weights = np.full((1, 6, 6), 0.06)
    weights[:, :, 0] = 0.7
    record = AttentionRecord("a", "encoder", 0, words, words, weights)
    with browsing(draw_html([record]), tmp_path) as (page, failures):
        assert "70 % of the mass is on the first position, “a”." in page.inner_text(".figure")
        page.check(".toggle input")
        assert "“a” looked at" in page.inner_text(".words")
        assert "20 %" in page.inner_text(".words .note")
    assert failures == []


def test_the_numbers_are_a_table(causal: AttentionRecord, tmp_path: Path) -> None:
    with browsing(draw_html([causal]), tmp_path) as (page, failures):
        page.locator("summary", has_text="numbers").click()
        page.wait_for_selector(".numbers tbody tr")
        cells = page.locator(".numbers tbody tr").first.locator("td").all_inner_texts()
        assert cells == ["1", "masked", "masked"]
    assert failures == []


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there: npm ci in explorer/")
@pytest.mark.parametrize("view", ["map", "lines", "alignment", "text"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(
    cross: AttentionRecord,
    causal: AttentionRecord,
    tmp_path: Path,
    view: str,
    width: int,
    scheme: str,
) -> None:
    text = draw_html([cross, causal, replace(cross, layer=1)], title="A title")
    place = f"records-1=view~{view}"
    with browsing(text, tmp_path, width=width, scheme=scheme, place=place) as (page, failures):
        open_details(page)
        page.wait_for_selector(".numbers td")
        found = serious_findings(page)
    assert found == []
    assert failures == []


def test_a_notebook_shows_it_in_a_frame_that_reaches_nothing(
    cross: AttentionRecord, tmp_path: Path
) -> None:
    frame = Explanation("a title", "", None, None, [cross], "")._repr_html_()
    notebook = f'<!DOCTYPE html><body><p data-state="all">cell</p>{frame}</body>'
    with browsing(notebook, tmp_path) as (page, failures):
        inner = page.frame_locator("iframe")
        inner.locator('[data-state="all"]').wait_for()
        inner.locator("select[data-menu=View]").select_option("lines")
        assert inner.locator("svg.lines").count() == 1
        page.wait_for_timeout(200)
    assert failures == []


def test_a_figure_that_comes_later_is_drawn_by_an_event(
    cross: AttentionRecord, causal: AttentionRecord, tmp_path: Path
) -> None:
    with browsing(draw_html([cross]), tmp_path) as (page, failures):
        for record in (causal, cross):
            page.evaluate(
                """(values) => {
                  const figure = document.querySelector('.figure');
                  figure.dataset.state = '';
                  document.getElementById('records-1').textContent = JSON.stringify(values);
                  figure.dispatchEvent(new Event('heedful:figure', { bubbles: true }));
                }""",
                figure_values([record]),
            )
            page.wait_for_selector('[data-state="all"]')
            assert record.module_path in page.inner_text(".facts")
            assert page.locator(".map").count() == 1
    assert failures == []
