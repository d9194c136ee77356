"""Text normalisation and splitting into words."""

from __future__ import annotations

import re
import unicodedata

SPACE_MARK = "▁"
"""Replaces a space inside pieces, as in SentencePiece."""

UNSPACED_SCRIPTS = (
    r"〆ー\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
)
"""Scripts written without spaces between words, as the content of an Oniguruma character class."""

# The same scripts as code point ranges: Python's `re` has no script properties.
UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9d\U00020000-\U0003fffd\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ede\u1000-\u109f\u1780-\u17d3"
)
_UNSPACED_CHARACTER = re.compile(f"[{UNSPACED}]")


def normalise(text: str, *, lowercase: bool = False) -> str:
    """Normalise a text for a vocabulary; decoding returns this form.

    Applies Unicode NFC, strips white space at the ends, collapses other white space to single spaces,
    replaces the space mark (U+2581) by an underscore, and lower-cases if `lowercase`.

    >>> normalise("  two   words ")
    'two words'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).replace(SPACE_MARK, "_")
    if lowercase:
        # Lower-casing can produce a decomposed letter (İ), so compose again.
        text = unicodedata.normalize("NFC", text.lower())
    return " ".join(text.split())


def starts_unspaced(text: str) -> bool:
    """Return whether the first character belongs to a script without spaces.

    >>> starts_unspaced("你好"), starts_unspaced("hello")
    (True, False)
    """
    return _UNSPACED_CHARACTER.match(text) is not None


def words(text: str) -> list[str]:
    """Split a text into the words that word alignments index.

    A text with white space is split there, punctuation included, as the Pharaoh format `i-j` counts words.
    In a text without white space that uses a script without spaces (Chinese, Japanese, Thai, ...) each
    character with its combining marks is a word, as is each run of other letters and digits, and each run
    of other characters.

    >>> words("A man, two dogs.")
    ['A', 'man,', 'two', 'dogs.']
    >>> words("他用iPhone。")
    ['他', '用', 'iPhone', '。']
    >>> words("我 喜欢 你")
    ['我', '喜欢', '你']
    """
    return [text[start:end] for start, end in word_spans(text)]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of each of `words(text)` in `text`.

    >>> word_spans("ab  c")
    [(0, 2), (4, 5)]
    """
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    if len(spans) != 1 or not _UNSPACED_CHARACTER.search(text):
        return spans
    return _character_spans(text, *spans[0])


def _character_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    previous_kind = ""
    for position in range(start, end):
        if unicodedata.category(text[position]).startswith("M"):
            kind = previous_kind
            extends = bool(spans)
        else:
            kind = _character_class(text[position])
            extends = kind == previous_kind != "unspaced"
        if extends:
            spans[-1] = (spans[-1][0], position + 1)
        else:
            spans.append((position, position + 1))
        previous_kind = kind
    return spans


def _character_class(character: str) -> str:
    if _UNSPACED_CHARACTER.match(character):
        return "unspaced"
    return "letters" if character.isalnum() else "symbols"
