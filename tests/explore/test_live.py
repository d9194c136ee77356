"""The server of `heedful view`: it answers only who knows its token, and only on the loopback address."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest

from heedful.errors import DataError
from heedful.explore import AttentionRecord
from heedful.explore.explanation import Explanation
from heedful.explore.live import MAX_CHARACTERS, LiveServer
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
    made = LiveServer(explain, title="A model")
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
    text = answer.read().decode()
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
    [record] = Page(text).records()
    assert record.key_tokens == ("a", "fine", "day")
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
