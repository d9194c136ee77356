"""The server of `heedful view`: it answers only who knows its token, and only on the loopback address."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from heedful.errors import DataError
from heedful.explore import AttentionRecord, Maps, draw_html, records_to_json, report_page
from heedful.explore.explanation import Explanation
from heedful.explore.live import LiveServer
from heedful.explore.live_session import KEPT, MAX_CHARACTERS, LiveSession
from heedful.explore.page_data import page_data
from heedful.explore.stored_page import read_figures
from tests.explore.browser import BROWSER, visiting
from tests.explore.pages import Page

EVIL = "</textarea><script>alert(1)</script>"


def explain(text: str) -> Explanation:
    if text == "bad":
        raise DataError("this text cannot be read")
    words = text.split()
    record = AttentionRecord("a", "pooling", 0, ["good"], words, [[[1 / len(words)] * len(words)]])
    return Explanation(f"good: {text}", text, None, None, [record], "")


@pytest.fixture
def server() -> Iterator[LiveServer]:
    made = LiveServer(LiveSession(explain, title="A model"))
    with running(made):
        yield made


@contextmanager
def running(made: LiveServer) -> Iterator[LiveServer]:
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.close()
    thread.join()


def get(server: LiveServer, path: str, host: str | None = None) -> tuple[int, str]:
    place = urlsplit(server.address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    connection.request("GET", path, headers={"Host": host or place.netloc})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    connection.close()
    return answer.status, text


def test_a_text_is_explained_on_the_page(server: LiveServer) -> None:
    path = urlsplit(server.address).path
    status, empty = get(server, path)
    assert status == 200
    assert "<textarea" in empty
    status, text = get(server, f"{path}?text={quote('a fine day')}")
    data = Page(text).data()
    [values] = data["records"]
    assert data["tokens"][values["keys"]] == ["a", "fine", "day"]
    # The layers are asked for by the page.
    assert "application/octet-stream" not in text
    status, _ = get(server, f"{path}part/{values['weights']}")
    assert status == 200
    assert "good: a fine day" in Page(text).text


def test_only_the_token_and_the_loopback_name_are_answered(server: LiveServer) -> None:
    path = urlsplit(server.address).path
    assert len(path) > 20
    for asked, host in (
        ("/", None),
        ("/?text=a", None),
        (path[:-2] + "x/", None),
        (path, "example.org"),
        (path, "localhost"),
    ):
        status, text = get(server, asked, host)
        assert status == 404
        assert "<textarea" not in text


def test_errors_and_hostile_texts_stay_text(server: LiveServer) -> None:
    path = urlsplit(server.address).path
    assert "this text cannot be read" in get(server, f"{path}?text=bad")[1]
    too_long = get(server, f"{path}?text={'a' * (MAX_CHARACTERS + 1)}")[1]
    assert "10,001 characters; up to 10,000 are read" in too_long
    harmless = Page(get(server, f"{path}?text=harmless")[1]).names()
    assert Page(get(server, f"{path}?text={quote(EVIL)}")[1]).names() == harmless


def test_two_texts_come_with_their_difference(server: LiveServer) -> None:
    path = urlsplit(server.address).path
    found = json.loads(get(server, f"{path}explain?text=a+fine+day&other=a+bad+day")[1])
    assert found["title"] == "Two texts"
    captions = [each["caption"] for each in found["figures"]]
    assert captions == [
        "Difference: good: a bad day − good: a fine day",
        "good: a fine day",
        "good: a bad day",
    ]
    difference = found["figures"][0]["data"]
    assert difference["tokens"][difference["records"][0]["keys"]] == ["a", "fine|bad", "day"]
    nothing = json.loads(get(server, f"{path}explain?text=a+fine+day&other=x")[1])
    assert "without a common token" in nothing["message"]
    assert nothing["figures"] == []


def test_layers_of_old_answers_are_dropped() -> None:
    session = LiveSession(explain, title="A model")

    def part(text: str) -> str:
        values = json.loads(session.answer(f"explain?text={text}").content)
        return str(values["figures"][0]["data"]["records"][0]["weights"])

    first, *_, last = [part(f"text{n}") for n in range(KEPT + 1)]
    assert session.answer(f"part/{first}").status == 404
    assert session.answer(f"part/{last}").status == 200
    assert session.answer("part/../secret").status == 404


def until(page: Any, expression: str) -> None:
    """Wait for an expression to hold; the page's policy forbids what Playwright does for this."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never held: {expression}")


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")
def test_the_page_changes_while_one_types(server: LiveServer) -> None:
    with visiting(server.address) as (page, failures):
        page.locator("#text").press_sequentially("a fine day")
        page.wait_for_selector('[data-state="all"]')
        assert page.inner_text("h1") == "good: a fine day"
        until(page, "document.querySelectorAll('.words .keys span').length === 3")
        page.select_option('[data-menu="View"]', "map")
        page.wait_for_timeout(150)
        page.locator("#text").press_sequentially(" off")
        until(page, "document.querySelector('h1').textContent.endsWith('off')")
        page.wait_for_selector('[data-state="all"]')
        # What was chosen stays chosen.
        assert page.input_value('[data-menu="View"]') == "map"
        page.locator("#text").fill("bad")
        until(
            page,
            "document.getElementById('live-message').textContent === 'this text cannot be read'",
        )
        assert page.inner_text("h1") == "good: a fine day off"
        page.locator("#text").fill("a fine day")
        page.locator("#other").fill("a bad day")
        until(page, "document.querySelectorAll('[data-state=all]').length === 3")
        page.locator("#other").fill(EVIL)
        page.locator("#text").fill(EVIL + " x")
        until(page, "document.querySelector('#live h3').textContent.includes('script')")
        assert page.locator("textarea").count() == 2
    assert failures == []


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")
def test_a_file_is_shown_one_layer_first(
    cross: AttentionRecord, causal: AttentionRecord, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(draw_html([cross, causal], title="A title"), encoding="utf-8")
    title, figures = read_figures(path)
    made = LiveServer(LiveSession(None, title=title, figures=figures))
    with running(made) as server, visiting(server.address) as (page, failures):
        page.wait_for_selector('[data-state="all"]')
        assert page.inner_text("h1") == "A title"
        assert page.locator("textarea").count() == 0
        count = "performance.getEntriesByType('resource').filter((each) => each.name.includes('/part/')).length"
        assert page.evaluate(count) == 2  # of the first layer its weights and rows
        page.select_option('[data-menu="Kind"]', "decoder")
        until(page, "document.querySelector('.facts').textContent.includes('chunked')")
        assert page.evaluate(count) == 5  # and a mask
    assert failures == []


def test_files_are_read_as_they_were_written(
    cross: AttentionRecord, causal: AttentionRecord, hostile: AttentionRecord, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    text = report_page(
        "Two </title>", [Maps("", [("one <b>", [cross, hostile]), ("two", [causal])])]
    )
    page.write_text(text, encoding="utf-8")
    title, figures = read_figures(page)
    assert title == "Two </title>"
    assert [each.caption for each in figures] == ["one <b>", "two"]
    fresh = page_data([cross, hostile], name="maps-1-1")
    assert figures[0].data.description == fresh.description
    assert figures[0].data.parts == fresh.parts
    stored = tmp_path / "records.json"
    stored.write_text(records_to_json([causal]), encoding="utf-8")
    [[only]] = [read_figures(stored)[1]]
    assert only.data.description["records"][0]["kind"] == "decoder"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.html", "<p>other</p>", "is no page of the explorer"),
        ("a.json", "{", "is not the JSON of attention records"),
        ("a.json", '{"schema": "heedful.attention/1", "digits": 4, "records": []}', "holds no"),
        (
            "a.html",
            '<script type="application/json" id="x">{"schema":"heedful.explorer/1","records":'
            '[{"weights":"y","rows":"y"}]}</script>',
            "lacks the part 'y'",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_figures(path)


def test_a_missing_file_and_a_damaged_part_are_refused(
    cross: AttentionRecord, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_figures(tmp_path / "none.html")
    path = tmp_path / "page.html"
    text = draw_html([cross])
    start = text.index('application/octet-stream" id="records-1-0">') + 43
    path.write_text(f"{text[:start]}AAAA{text[start + 4 :]}", encoding="utf-8")
    with pytest.raises(DataError, match="'records-1-0' is damaged"):
        read_figures(path)
