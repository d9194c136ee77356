"""Find fonts that have the glyphs of a text, or say which to install; never draw boxes."""

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
"""It comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew, Armenian, Georgian and symbols."""

# First word of a character's Unicode name -> what a person calls the script, Debian package, font name.
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
    """No installed font can draw some of the text; the message says which to install."""


def _drawn(character: str) -> bool:
    """Whether a glyph is needed: joiners, variation selectors and white space leave no mark."""
    selector = 0xFE00 <= ord(character) <= 0xFE0F or 0x1F3FB <= ord(character) <= 0x1F3FF
    return not (character.isspace() or unicodedata.category(character) == "Cf" or selector)


@lru_cache(maxsize=1024)
def _glyphs(path: str) -> frozenset[int]:
    """The code points that an outline font has; none for colour bitmaps, which Agg cannot scale."""
    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


@lru_cache(maxsize=1)
def _installed() -> tuple[FontEntry, ...]:
    """Upright fonts of normal weight, those installed since matplotlib last looked included."""
    manager = font_manager.fontManager
    known = {entry.fname for entry in manager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            try:
                manager.addfont(path)
            except (OSError, RuntimeError):
                continue
    upright = (entry for entry in manager.ttflist if entry.style == "normal")
    # "Last Resort" has a box for every character there is: just what is not wanted.
    upright = (entry for entry in upright if not entry.name.startswith("Last Resort"))
    regular = [entry for entry in upright if entry.weight in (400, "normal", "regular")]
    # Sans first, so that a fallback looks like its neighbours.
    return tuple(sorted(regular, key=lambda entry: ("Sans" not in entry.name, entry.name)))


def font_families(texts: Iterable[str]) -> list[str]:
    """Return font families that together have every character: matplotlib tries them in order.

    Raises:
        MissingFontError: no installed font has some character.

    >>> font_families(["house", "Straße", "дом"])
    ['DejaVu Sans']
    """
    missing = {ord(character) for text in texts for character in text if _drawn(character)}
    default = font_manager.findfont(DEFAULT_FAMILY)
    families = [DEFAULT_FAMILY]
    missing -= _glyphs(default)
    while missing:
        best = max(
            _installed(), key=lambda entry: len(missing & _glyphs(entry.fname)), default=None
        )
        found = missing & _glyphs(best.fname) if best else set()
        if best is None or not found:
            raise MissingFontError(_advice(missing))
        families.append(best.name)
        missing -= found
    return families


def _script(character: str) -> tuple[str, str, str]:
    """What a person calls the script, the Debian package and the font that has it."""
    word = unicodedata.name(character, "UNNAMED").split(" ")[0]
    if word in _SCRIPTS:
        return _SCRIPTS[word]
    if unicodedata.category(character)[0] in "LMN":
        return (word.capitalize(), "fonts-noto-core", f"Noto Sans {word.capitalize()}")
    return _EMOJI


def _advice(missing: set[int]) -> str:
    characters = [chr(code) for code in sorted(missing)]
    scripts = list(dict.fromkeys(_script(character) for character in characters))
    names = ", ".join(dict.fromkeys(name for name, _, _ in scripts))
    packages = " ".join(dict.fromkeys(package for _, package, _ in scripts))
    fonts = ", ".join(dict.fromkeys(font for _, _, font in scripts))
    shown = " ".join(characters[:8]) + (" …" if len(characters) > 8 else "")
    return (
        f"no installed font can draw {names} ({shown}), and a picture of boxes would say nothing.\n"
        f"Install a font: on Debian or Ubuntu `apt install {packages}`; elsewhere the font {fonts}.\n"
        "Or write .html or .svg, which need no font here."
    )


def forget_fonts() -> None:
    """Look again at which fonts are installed (after one was added while this process runs)."""
    _installed.cache_clear()
    _glyphs.cache_clear()
