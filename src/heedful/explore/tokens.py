"""Show any token as text that can be seen and that fits."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from rich.cells import cell_len

_SIGNS: Final = {" ": "␣", "\u00a0": "␣", "\n": "⏎", "\u2028": "⏎", "\u2029": "⏎", "\t": "→"}
_UNSEEN: Final = re.compile(
    "[\u0000-\u0020\u007f-\u00a0\u2028-\u202e\u2066-\u2069\u200b\ufeff\ud800-\udfff]"
)


def visible(token: str) -> str:
    r"""Replace what could not be seen, or would turn the text around, by a sign.

    >>> visible("a b\n"), visible("")
    ('a␣b⏎', '∅')
    """
    return _UNSEEN.sub(lambda found: _SIGNS.get(found[0], "�"), token) or "∅"


def letters(text: str) -> list[str]:
    """Split into what a reader takes for one letter: marks and joined emoji stay with their base.

    >>> [len(letter) for letter in letters("e\u0301a")]
    [2, 1]
    """
    found: list[str] = []
    for character in text:
        extends = unicodedata.category(character) in ("Mn", "Mc", "Me") or character == "\u200d"
        selector = 0x1F3FB <= ord(character) <= 0x1F3FF
        if found and (extends or selector or found[-1].endswith("\u200d")):
            found[-1] += character
        else:
            found.append(character)
    return found


def clipped(token: str, cells: int = 24) -> str:
    """Return the visible token, cut with … to a width in cells (East Asian characters take two).

    >>> clipped("Donaudampfschifffahrt", 10)
    'Donaudamp…'
    """
    return _cut(visible(token), cells)


def clipped_text(text: str, cells: int) -> str:
    r"""Return running text on one line, cut with … to a width in cells.

    >>> clipped_text("a man\nin a hat", 10)
    'a man in …'
    """
    words = " ".join(text.split())
    return _cut(_UNSEEN.sub(lambda found: " " if found[0] == " " else "�", words), cells)


def _cut(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    kept = ""
    for letter in letters(text):
        if cell_len(kept + letter) > cells - 1:
            break
        kept += letter
    return kept + "…"
