"""Display text of tokens: visible signs for invisible characters, and truncation to a width."""

from __future__ import annotations

import html
import re
from typing import Final

from rich.cells import cell_len

from heedful.data.words import graphemes

_SIGNS: Final = {" ": "␣", "\u00a0": "␣", "\n": "⏎", "\u2028": "⏎", "\u2029": "⏎", "\t": "→"}
_INVISIBLE: Final = re.compile(
    "[\u0000-\u0020\u007f-\u00a0\u2028-\u202e\u2066-\u2069\u200b\ufeff\ud800-\udfff]"
)
_UNSEEN: Final = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(token: str) -> str:
    r"""Replace invisible and bidirectional control characters by visible signs.

    >>> visible("a b\n"), visible("")
    ('a␣b⏎', '∅')
    """
    return _INVISIBLE.sub(lambda match: _SIGNS.get(match[0], "�"), token) or "∅"


def truncate(token: str, cells: int = 24) -> str:
    """Return the visible token, truncated with … to a width in terminal cells (East Asian characters take two).

    >>> truncate("Donaudampfschifffahrt", 10)
    'Donaudamp…'
    """
    return _truncate(visible(token), cells)


def truncate_text(text: str, cells: int) -> str:
    r"""Return running text on one line, truncated with … to a width in terminal cells.

    >>> truncate_text("a man\nin a hat", 10)
    'a man in …'
    """
    words = " ".join(text.split())
    return _truncate(_INVISIBLE.sub(lambda match: " " if match[0] == " " else "�", words), cells)


def html_text(text: str) -> str:
    r"""Escape running text for HTML, with � for control characters and those that turn text around.

    >>> html_text("a < b\x00"), html_text("one\nline\u202e")
    ('a &lt; b�', 'one\nline�')
    """
    return html.escape(_UNSEEN.sub("�", text))


def _truncate(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    kept = ""
    for cluster in graphemes(text):
        if cell_len(kept + cluster) > cells - 1:
            break
        kept += cluster
    return kept + "…"
