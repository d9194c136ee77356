"""Pages hold any string: what a page embeds is read back unchanged, by a parser of HTML and in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.explore import AttentionRecord, draw_html
from heedful.explore.html import embedded_json, page
from heedful.explore.report import MetricTable, Paragraph, report_page
from heedful.explore.tokens import html_text
from tests.explore.browser import BROWSER, browsing
from tests.explore.pages import DATA, Page

HOSTILE = (
    "\\",
    '"',
    '\\"',
    '\\\\"',
    "\\\\",
    "\\'",
    "hund \\",
    "\\u0022",
    "\\n",
    "</script>",
    "<!--<script>",
    "]]>",
    "&quot;",
    "&#0;",
    "\0",
    "\x07\x1b[2J",
    "\u2028\u2029",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "\ufeff",
    "\ud800",
    "\udfff\ud800",
    "\x7f\x85",
    "${x}",
    "`",
    "{{x}}",
    "a" * 10_000,
    "\u0301" * 10_000,
    "𝒳 😀 好",
    "",
)
ANY_TEXT = st.one_of(
    st.text(st.characters(), max_size=30),  # halves of surrogate pairs too
    st.text(st.sampled_from("\\\"'<>&/!-\0\n\u2028\u202e\ud800sc "), max_size=20),
    st.sampled_from(HOSTILE),
)


def record_of(tokens: tuple[str, ...]) -> AttentionRecord:
    return AttentionRecord("", "cross", 0, tokens, ("x",), [[[1.0]] * len(tokens)])


@given(
    st.recursive(
        ANY_TEXT,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    )
)
@settings(max_examples=300, deadline=None)
def test_embedded_json_is_read_back_from_a_page(values: Any) -> None:
    text = embedded_json(values)
    assert text.isascii()
    assert not set("<>&") & set(text)
    read = Page(f'<p></p><script type="{DATA}">{text}</script><p id="after">')
    assert read.data() == values
    assert read.names() == ["p", "script", "p"]


def test_the_check_of_embedded_json_finds_an_escape_too_many() -> None:
    """What a token that ends in a backslash became when the quote after it was taken for an escaped one."""
    broken = json.dumps(["\\"]).replace('\\"', "\\u0022")
    with pytest.raises(ValueError, match="Unterminated"):
        Page(f'<script type="{DATA}">{broken}</script>').data()


@given(st.lists(ANY_TEXT, min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_the_tokens_of_a_page_are_those_of_its_records(tokens: list[str]) -> None:
    found = Page(draw_html([record_of(tuple(tokens))], title=tokens[0]))
    [record] = found.records()
    assert list(record.query_tokens) == tokens
    assert found.names() == Page(draw_html([record_of(("harmless",))])).names()


@given(ANY_TEXT)
@settings(max_examples=200, deadline=None)
def test_text_of_a_page_can_be_written_and_turns_nothing_around(text: str) -> None:
    escaped = html_text(text)
    assert not re.search("[<>\"'\0\u2028-\u202e\u2066-\u2069\ud800-\udfff\x1b]", escaped)
    plain = Page(page("", "<p></p>")).names()
    assert Page(page(text, "<p></p>")).names() == plain
    sections = [Paragraph(text, text), MetricTable(text, [text, text], [[text, text]])]
    report_page(text, sections).encode()


SEEN = """() => {
  const units = (text) => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  const data = JSON.parse(document.querySelector('script[type="application/json"]').textContent);
  const shown = Array.from(document.querySelectorAll('svg.rows text'), (one) => one.textContent);
  const turned = /[\\u202a-\\u202e\\u2066-\\u2069\\0]/;
  const tokens = data.tokens[data.records[0].queries].map(units);
  return [tokens, shown.length, shown.some((one) => turned.test(one))];
}"""


def units(text: str) -> list[int]:
    """The 16-bit units of a text in JavaScript."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return [raw[at] + 256 * raw[at + 1] for at in range(0, len(raw), 2)]


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")
def test_a_browser_draws_hostile_tokens(tmp_path: Path) -> None:
    text = draw_html([record_of(HOSTILE)], title="\\")
    with browsing(text, tmp_path) as (page, failures):
        [tokens, rows, turned] = page.evaluate(SEEN)
    assert tokens == [units(token) for token in HOSTILE]
    assert (rows, turned, failures) == (len(HOSTILE), False, [])
