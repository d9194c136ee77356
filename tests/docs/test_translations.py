"""A translated page has the code of the English page, headings of the same levels and tables of the same entries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import FENCE, label, pages

TRANSLATED = [page for page in pages() if page.name.endswith(".zh-CN.md")]


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".zh-CN", ""))


def code(text: str) -> list[str]:
    return [match[0] for match in FENCE.finditer(text)]


def outline(text: str) -> list[int]:
    """The level of each heading."""
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)]


def entries(text: str) -> list[str]:
    """The first cell of each row of a table that is code."""
    return re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)


def differences(text: str, translated: str) -> list[str]:
    """Name what is not the same on both pages."""
    return [part.__name__ for part in (code, outline, entries) if part(text) != part(translated)]


@pytest.mark.parametrize("page", TRANSLATED, ids=label)
def test_a_translation_has_the_code_of_the_original(page: Path) -> None:
    text, translated = (each.read_text(encoding="utf-8") for each in (english(page), page))
    # blocks first: their difference is worth seeing
    assert code(translated) == code(text)
    assert differences(text, translated) == []


def test_readme_and_attention_page_are_translated() -> None:
    assert {"README.zh-CN.md", "docs/attention.zh-CN.md"} <= {label(page) for page in TRANSLATED}


@pytest.mark.parametrize(
    ("translated", "different"),
    [
        ("# 一\n\n```python\nx = 1\n```\n\n| `Dot` | 点积 |\n", []),
        ("# 一\n\n```python\nx = 2\n```\n\n| `Dot` | 点积 |\n", ["code"]),
        ("## 一\n\n```python\nx = 1\n```\n\n| `Dot` | 点积 |\n", ["outline"]),
        ("# 一\n\n```python\nx = 1\n```\n\n| `Dots` | 点积 |\n", ["entries"]),
    ],
)
def test_a_difference_would_be_found(translated: str, different: list[str]) -> None:
    text = "# One\n\n```python\nx = 1\n```\n\n| `Dot` | inner product |\n"
    assert differences(text, translated) == different
