"""Figures of matplotlib as files."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from heedful.explore.fonts import font_families

SVG_FAMILIES: Final = ("DejaVu Sans", "sans-serif")
"""The viewer of the SVG substitutes fonts for missing glyphs."""


def write_figure(
    draw: Callable[[Sequence[str]], Figure],
    file: Path | BinaryIO,
    suffix: str,
    title: str,
    texts: Iterable[str],
) -> None:
    """Write a figure as .png, or as .svg whose text stays text.

    Args:
        draw: font families -> figure.
        file: where to.
        suffix: .png or .svg.
        title: the title of an SVG.
        texts: all texts of the figure, whose glyphs a PNG needs.

    Raises: MissingFontError if no installed font has the glyphs of a PNG.
    """
    to: Any = str(file) if isinstance(file, Path) else file
    if suffix == ".svg":
        figure = draw(SVG_FAMILIES)
        settings = matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "heedful"})
        with warnings.catch_warnings(), settings:
            # The text is not rendered here, so missing glyphs do not matter.
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
            FigureCanvasSVG(figure).print_svg(to, metadata={"Date": None, "Title": title})
    else:
        figure = draw(font_families(texts))
        # Limits a figure of many layers to 12,000 pixels, which viewers can open.
        figure.set_dpi(min(150, math.floor(12000 / max(figure.get_size_inches()))))
        FigureCanvasAgg(figure).print_png(to)
