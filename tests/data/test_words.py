from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.words import normalise, starts_unspaced, word_spans, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man, two dogs.", ["A", "man,", "two", "dogs."]),
        ("  two \t words\n", ["two", "words"]),
        ("l'homme don't", ["l'homme", "don't"]),
        ("", []),
        ("   ", []),
        # Without any space, each character of such a script is a word.
        ("我喜欢你。", ["我", "喜", "欢", "你", "。"]),
        ("他用iPhone15打电话!!", ["他", "用", "iPhone15", "打", "电", "话", "!!"]),
        ("コーヒー", ["コ", "ー", "ヒ", "ー"]),
        ("𠮷野家", ["𠮷", "野", "家"]),
        # A mark stays with what it marks.
        ("か\u3099く", ["か\u3099", "く"]),
        ("ที่นี่", ["ที่", "นี่"]),
        # With a space, the spaces decide: the text is cut into words already.
        ("我 喜欢 你 。", ["我", "喜欢", "你", "。"]),
        # Korean and Arabic are written with spaces.
        ("안녕하세요", ["안녕하세요"]),
        ("مرحبا", ["مرحبا"]),
        ("don't", ["don't"]),
        ("\u0301我", ["\u0301", "我"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text())
def test_words_are_all_that_is_not_white_space(text: str) -> None:
    # other white space than blanks, tabs and line ends may be part of a word
    assert "".join("".join(words(text)).split()) == "".join(text.split())
    assert all(word and not set(word) & set(" \t\n\r\f\v") for word in words(text))


@given(st.text(alphabet=st.sampled_from("ab 我ก่\u3099.")))
def test_spans_lie_in_order_and_cover_the_words(text: str) -> None:
    spans = word_spans(text)
    assert [text[start:end] for start, end in spans] == words(text)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


@given(st.text(), st.booleans())
def test_normalising_twice_changes_nothing(text: str, lowercase: bool) -> None:
    once = normalise(text, lowercase=lowercase)
    assert normalise(once, lowercase=lowercase) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Caf\u0065\u0301", "Café"),
        ("a\u00a0b\u3000c\r\n", "a b c"),
        ("a▁b", "a_b"),
        ("ｆｕｌｌ width", "ｆｕｌｌ width"),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_lower_case() -> None:
    assert normalise("Ein MANN Ä", lowercase=True) == "ein mann ä"
    assert unicodedata.is_normalized("NFC", normalise("İ", lowercase=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你", True),
        ("あ", True),
        ("ไ", True),
        ("한", False),
        ("a", False),
        ("。", False),
        ("", False),
    ],
)
def test_scripts_without_spaces(text: str, expected: bool) -> None:
    assert starts_unspaced(text) is expected
