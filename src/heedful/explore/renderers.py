"""The files that attention records can be drawn to, by their ending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from heedful.errors import OptionError, unknown_choice
from heedful.explore.html import save_html
from heedful.explore.schema import AttentionRecord

Renderer = Callable[[Sequence[AttentionRecord], Path, str], None]
"""(records, path, title) -> a file."""


def _save_png(records: Sequence[AttentionRecord], path: Path, title: str) -> None:
    # Here and not above: matplotlib takes its time to load, and only pictures need it.
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
    """Return what draws to a file of this ending, so that a wrong one is found before any work.

    Raises:
        OptionError: nothing draws to such a file.
    """
    ending = Path(path).suffix.lower()
    if ending not in RENDERERS:
        raise unknown_choice("ending of a picture", ending or str(path), RENDERERS)
    return RENDERERS[ending]


def save(
    records: Sequence[AttentionRecord], path: str | Path, *, title: str = "Attention weights"
) -> None:
    """Draw records to a file of the kind that its ending names.

    Raises:
        OptionError: no records, or an ending that nothing draws to.
        MissingFontError: a PNG whose tokens no installed font can draw.
    """
    draw = renderer_for(path)
    if not records:
        raise OptionError("there are no attention records to draw; record a model first.")
    draw(records, Path(path), title)
