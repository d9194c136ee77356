"""Renderers of attention records, by file suffix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from heedful.errors import OptionError, unknown_choice
from heedful.explore.html import save_html
from heedful.explore.schema import AttentionRecord

Renderer = Callable[[Sequence[AttentionRecord], Path, str], None]
"""(records, path, title): writes the file."""


def _save_png(records: Sequence[AttentionRecord], path: Path, title: str) -> None:
    # Imported here, as matplotlib is slow to import and only images need it.
    from heedful.explore.picture import save_png

    save_png(records, path, title)


def _save_svg(records: Sequence[AttentionRecord], path: Path, title: str) -> None:
    from heedful.explore.picture import save_svg

    save_svg(records, path, title)


RENDERERS: Final[dict[str, Renderer]] = {
    ".html": save_html,
    ".png": _save_png,
    ".svg": _save_svg,
}


def renderer_for(path: str | Path) -> Renderer:
    """Return the renderer for the suffix of a path; call it early, to fail before any work is done.

    Raises:
        OptionError: no renderer has this suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in RENDERERS:
        raise unknown_choice("ending of a picture", suffix or str(path), RENDERERS)
    return RENDERERS[suffix]


def save(
    records: Sequence[AttentionRecord], path: str | Path, *, title: str = "Attention weights"
) -> None:
    """Draw records to a file, with the renderer for its suffix.

    Raises:
        OptionError: there are no records, or no renderer has this suffix.
        MissingFontError: no installed font has the glyphs of some token of a PNG.
    """
    draw = renderer_for(path)
    if not records:
        raise OptionError("there are no attention records to draw; record a model first.")
    draw(records, Path(path), title)
