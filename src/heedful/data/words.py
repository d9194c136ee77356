"""Text normalisation, grapheme clusters, and splitting into words."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

import regex

from heedful.errors import DataError

RULES: Final = 2
"""Version of the rules of this module. Version 1 kept zero-width characters, and took only the vocabularies of
sub-words to be NFC; what was learned by it is applied by it."""

SPACE_MARK = "▁"
"""Replaces a space inside pieces, as in SentencePiece."""

OLD_UNSPACED_SCRIPTS = (
    r"〆ー\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
)
"""Those of version 1."""
UNSPACED_SCRIPTS = (
    OLD_UNSPACED_SCRIPTS + r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Ahom}"
)
"""Scripts written without spaces between words, as the content of a character class (Oniguruma and `regex`)."""

UNSPACED_START = rf"(?=[{UNSPACED_SCRIPTS}])(?!\p{{Nd}})"
"""Pattern of the position before a character of these scripts; digits are written in runs in every script."""
EXTENDERS = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]"
"""What belongs to the character before it (UAX #29, WB4): combining marks, joiners, format characters."""
LETTER = (
    rf"(?!{UNSPACED_START})"
    rf"[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}\p{{WB=ExtendNumLet}}\p{{L}}\p{{N}}]{EXTENDERS}*"
)
"""Pattern of one letter or digit of a script with spaces, with what belongs to it."""

# Soft hyphen, zero-width space, word joiner, byte-order mark, and the marks of the direction of writing.
INVISIBLE: Final = "\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
"""As the content of a character class."""
_INVISIBLE = regex.compile(f"[{INVISIBLE}]")
_SPACED = regex.compile("[^ \t\n\r\f\v]+")
_UNSPACED = regex.compile(UNSPACED_START)
_CLUSTER = regex.compile(r"\X")
_UNSPACED_WORDS = regex.compile(
    rf"{UNSPACED_START}\X|(?:{LETTER})+|(?:(?!{UNSPACED_START}|{LETTER}|\s)\X)+"
)


def canonical(text: str) -> str:
    """Return the form in which texts, words and labels are compared: NFC, without invisible characters.

    Left out are the soft hyphen, the zero-width space, the word joiner, the byte-order mark and the marks of the
    direction of writing. The zero-width joiner and non-joiner stay: they distinguish words of Persian and of
    Indic languages, and join emoji. A text of nothing else stays as it is.

    Raises: DataError for half a surrogate pair, which is no character.

    >>> canonical("cafe\u0301") == canonical("ca\u00adfé") == "café"
    True
    """
    if text.isascii():
        return text
    check_characters(text)
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text) or text)


def check_characters(text: str, error: Callable[[str], DataError] = DataError) -> None:
    """Raise DataError for half a surrogate pair."""
    if has_surrogate(text):
        raise error(
            f"{text.encode('ascii', 'backslashreplace').decode()[:60]!r} holds half a surrogate pair "
            "(\\ud800 to \\udfff), which is not a character; remove it."
        )


def has_surrogate(text: str) -> bool:
    r"""Return whether a text holds half a surrogate pair, which no encoding can write.

    >>> has_surrogate("\ud83d"), has_surrogate("😀")
    (True, False)
    """
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def normalise(text: str, *, lowercase: bool = False, rules: int = RULES) -> str:
    """Normalise a text for a vocabulary; decoding returns this form.

    Takes the `canonical` form, strips white space at the ends, collapses other white space to single spaces,
    replaces the space mark (U+2581) by an underscore, and lower-cases if `lowercase`. By version 1 of the rules
    invisible characters stay.

    >>> normalise("  two   words ")
    'two words'
    """
    if not text.isascii():
        check_characters(text)
        visible = _INVISIBLE.sub("", text) if rules > 1 else text
        text = unicodedata.normalize("NFC", visible).replace(SPACE_MARK, "_")
    if lowercase:
        # Lower-casing can produce a decomposed letter (İ), so compose again.
        text = unicodedata.normalize("NFC", text.lower())
    return " ".join(text.split())


def starts_unspaced(text: str) -> bool:
    """Return whether the first character belongs to a script without spaces.

    >>> starts_unspaced("你好"), starts_unspaced("hello")
    (True, False)
    """
    return not text[:1].isascii() and _UNSPACED.match(text) is not None


def graphemes(text: str) -> list[str]:
    """Split into grapheme clusters (UAX #29), what a reader takes for characters.

    >>> [len(cluster) for cluster in graphemes("e\u0301a")]
    [2, 1]
    """
    return list(text) if text.isascii() else _CLUSTER.findall(text)


def words(text: str) -> list[str]:
    """Split a text into the words that word alignments index.

    A text with white space is split there, punctuation included, as the Pharaoh format `i-j` counts words. No-break
    and ideographic spaces are part of a word.
    In a text without white space that uses a script without spaces (Chinese, Japanese, Thai, ...) each
    grapheme cluster of these scripts is a word, as is each run of other letters and digits, and each run
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
    spans = [match.span() for match in _SPACED.finditer(text)]
    if len(spans) != 1 or text.isascii() or not _UNSPACED.search(text):
        return spans
    return [match.span() for match in _UNSPACED_WORDS.finditer(text)]
