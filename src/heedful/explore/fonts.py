"""Font fallback: find fonts with the glyphs of a text, or raise an error that names the font to install."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from matplotlib import font_manager
from matplotlib.font_manager import FontEntry
from matplotlib.ft2font import FT2Font

from heedful.errors import HeedfulError

DEFAULT_FAMILY: Final = "DejaVu Sans"
"""Bundled with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew, Armenian, Georgian and symbols."""

# First word of a character's Unicode name -> (script, Debian package, font name).
_CJK: Final = ("fonts-noto-cjk", "Noto Sans CJK")
_SCRIPTS: Final = {
    "CJK": ("Chinese", *_CJK),
    "HIRAGANA": ("Japanese", *_CJK),
    "KATAKANA": ("Japanese", *_CJK),
    "KATAKANA-HIRAGANA": ("Japanese", *_CJK),
    "IDEOGRAPHIC": ("Chinese", *_CJK),
    "FULLWIDTH": ("Chinese", *_CJK),
    "HANGUL": ("Korean", *_CJK),
}
_EMOJI: Final = ("emoji and other symbols", "fonts-symbola", "Symbola")


class MissingFontError(HeedfulError):
    """No installed font has the glyphs of some characters; the message names a font to install."""


def _needs_glyph(character: str) -> bool:
    """Whether a character needs a glyph: white space, joiners and variation selectors do not."""
    selector = 0xFE00 <= ord(character) <= 0xFE0F or 0x1F3FB <= ord(character) <= 0x1F3FF
    return not (character.isspace() or unicodedata.category(character) == "Cf" or selector)


@lru_cache(maxsize=1024)
def _code_points(path: str) -> frozenset[int]:
    """The code points of an outline font; empty for colour bitmap fonts, which Agg cannot scale."""
    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


@lru_cache(maxsize=1)
def _installed() -> tuple[FontEntry, ...]:
    """Upright fonts of normal weight, including those installed since matplotlib built its cache."""
    manager = font_manager.fontManager
    known = {entry.fname for entry in manager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            try:
                manager.addfont(path)
            except (OSError, RuntimeError):
                continue
    upright = (entry for entry in manager.ttflist if entry.style == "normal")
    # "Last Resort" claims every character but draws only boxes.
    upright = (entry for entry in upright if not entry.name.startswith("Last Resort"))
    regular = [entry for entry in upright if entry.weight in (400, "normal", "regular")]
    # Sans-serif first, to match the default font.
    return tuple(sorted(regular, key=lambda entry: ("Sans" not in entry.name, entry.name)))


def font_families(texts: Iterable[str]) -> list[str]:
    """Return font families that together cover every character, in the order for matplotlib to try.

    Raises:
        MissingFontError: no installed font has the glyph of some character.

    >>> font_families(["house", "Straße", "дом"])
    ['DejaVu Sans']
    """
    missing = {ord(character) for text in texts for character in text if _needs_glyph(character)}
    default = font_manager.findfont(DEFAULT_FAMILY)
    families = [DEFAULT_FAMILY]
    missing -= _code_points(default)
    while missing:
        best = max(
            _installed(), key=lambda entry: len(missing & _code_points(entry.fname)), default=None
        )
        covered = missing & _code_points(best.fname) if best else set()
        if best is None or not covered:
            raise MissingFontError(_missing_font_message(missing))
        families.append(best.name)
        missing -= covered
    return families


def _script(character: str) -> tuple[str, str, str]:
    """Return (script, Debian package, font name) for a character."""
    word = unicodedata.name(character, "UNNAMED").split(" ")[0]
    if word in _SCRIPTS:
        return _SCRIPTS[word]
    if unicodedata.category(character)[0] in "LMN":
        return (word.capitalize(), "fonts-noto-core", f"Noto Sans {word.capitalize()}")
    return _EMOJI


def _missing_font_message(missing: set[int]) -> str:
    characters = [chr(code) for code in sorted(missing)]
    scripts = list(dict.fromkeys(_script(character) for character in characters))
    names = ", ".join(dict.fromkeys(name for name, _, _ in scripts))
    packages = " ".join(dict.fromkeys(package for _, package, _ in scripts))
    fonts = ", ".join(dict.fromkeys(font for _, _, font in scripts))
    shown = " ".join(characters[:8]) + (" …" if len(characters) > 8 else "")
    return (
        f"no installed font has glyphs for {names} ({shown}).\n"
        f"Install a font: on Debian or Ubuntu `apt install {packages}`; on other systems install {fonts}.\n"
        "Or write .html or .svg, which are drawn with the fonts of the viewer."
    )


def clear_font_cache() -> None:
    """Clear the font caches, so that a font installed while this process runs is found."""
    _installed.cache_clear()
    _code_points.cache_clear()
