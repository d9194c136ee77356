"""The HTML page: safe against any token, offline, and complete."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import pytest

from heedful.errors import OptionError
from heedful.explore import AttentionRecord, draw_html
from heedful.explore.html import embedded_json, page
from tests.explore.pages import PART, Page


def test_the_page_holds_the_records_and_nothing_is_lost(
    cross: AttentionRecord, causal: AttentionRecord, hostile: AttentionRecord
) -> None:
    read = Page(draw_html([cross, causal, hostile]))
    assert read.data()["schema"] == "heedful.explorer/1"
    found = sorted(read.records(), key=lambda one: one.module_path)
    assert found == sorted([cross, causal, hostile], key=lambda one: one.module_path)


def test_no_token_becomes_markup(hostile: AttentionRecord, cross: AttentionRecord) -> None:
    title = "</title><script>alert(1)</script>"
    text = draw_html([hostile], title=title)
    reader, harmless = Page(text), Page(draw_html([cross], title="title"))
    assert reader.names() == harmless.names()
    assert reader.comments == []
    assert title in reader.text
    for token in hostile.key_tokens[:4]:
        assert token not in text
    assert not any(name.startswith("on") for _, found in reader.elements for name in found)


def test_the_embedded_json_has_nothing_that_html_or_javascript_reads() -> None:
    text = embedded_json(["</script><!--", "\"'&", "\u2028\u2029", "\ud800", "好"])
    assert re.fullmatch(r'[\[\]", \\/!a-z0-9-]*', text), text
    assert not set("<>&'") & set(text)
    assert json.loads(text) == ["</script><!--", "\"'&", "\u2028\u2029", "\ud800", "好"]


def test_nothing_is_requested(cross: AttentionRecord, hostile: AttentionRecord) -> None:
    reader = Page(draw_html([cross, hostile]))
    text = draw_html([cross, hostile])
    for kind, part in reader.scripts:
        text = text.replace(part, "") if kind.get("type") == PART else text
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", re.sub(r"// [^\n]*", "", text))
    assert not {"link", "img", "iframe", "object", "base"} & set(reader.names())
    assert not any({"src", "href", "action"} & set(found) for _, found in reader.elements)


def test_the_policy_allows_the_pages_own_script_alone(cross: AttentionRecord) -> None:
    reader = Page(draw_html([cross]))
    policy = next(
        found["content"]
        for name, found in reader.elements
        if name == "meta" and found.get("http-equiv") == "Content-Security-Policy"
    )
    script = reader.program()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_tokens_reach_the_page_as_text_alone() -> None:
    script = Page(page("", "")).program()
    for dangerous in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "fetch(",
    ):
        assert dangerous not in script


def test_masked_cells_are_hatched_and_not_zero(causal: AttentionRecord) -> None:
    reader = Page(draw_html([causal]))
    assert ("pattern", "hatch") in [(name, found.get("id")) for name, found in reader.elements]
    [record] = reader.records()
    assert record.mask is not None
    assert record.mask.tolist() == causal.mask.tolist()
    assert "url(#hatch)" in reader.program()
    assert "masked, may not attend" in reader.program()


def test_the_page_says_what_is_shown(cross: AttentionRecord) -> None:
    assert "attention weights" in Page(draw_html([cross])).text
    saliency = Page(draw_html([replace(cross, measure="gradient saliency")])).text
    assert "Shown: gradient saliency." in saliency
    assert "attention weights" not in saliency
    data = Page(draw_html([replace(cross, merged=True)])).data()
    assert data["merged_note"] == (
        "sub-words merged to words: summed over keys, averaged over queries"
    )


def test_kinds_are_named_in_words(cross: AttentionRecord, causal: AttentionRecord) -> None:
    names = Page(draw_html([causal, cross])).data()["kind_names"]
    assert names == {"cross": "cross: output × input", "decoder": "decoder: output × output"}
    assert list(names) == ["cross", "decoder"]


def test_the_page_can_be_read_aloud_and_without_javascript(cross: AttentionRecord) -> None:
    reader = Page(draw_html([cross], title="Ein Hund"))
    assert ("html", {"lang": "en"}) in reader.elements
    assert {"title", "h1", "main", "noscript"} <= set(reader.names())
    script = reader.program()
    for needed in ("aria-label", "aria-live", "tabindex", "ArrowDown", "prefers-color-scheme"):
        assert needed in script


def test_no_records_no_page() -> None:
    with pytest.raises(OptionError, match="no attention records to draw"):
        draw_html([])


def test_the_same_record_twice_is_one(cross: AttentionRecord) -> None:
    words = replace(cross, merged=True)
    reader = Page(draw_html([words, cross, replace(cross)]))
    records = reader.data()["records"]
    assert [record["merged"] for record in records] == [True, False]
