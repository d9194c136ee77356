"""Draw attention records as PNG or SVG with matplotlib, without touching pyplot or its global state."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich.cells import cell_len

from heedful.errors import OptionError
from heedful.explore.fonts import font_families
from heedful.explore.one_map import (
    COLOUR_MAP,
    HATCH_COLOUR,
    SCALE,
    label,
    paint,
    write_numbers,
)
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import group, kind_name, overall_mean
from heedful.explore.tokens import clipped, clipped_text, visible
from heedful.explore.words import MERGED_NOTE

SVG_FAMILIES: Final = ("DejaVu Sans", "sans-serif")
"""Whoever views the SVG supplies glyphs that these lack."""

_HATCH_LINE: Final = 0.6
_MARGIN: Final = 0.25  # inches, as every length below
_TITLE: Final = 0.4
_BAR: Final = 0.75
_GAP: Final = 0.12
_WIDEST_THUMBNAIL: Final = 1.8
_CELL_WITH_NUMBER: Final = 0.36
_LETTER: Final = 0.075
"""Width of an average letter at the label size."""


def draw_figure(
    records: Sequence[AttentionRecord], *, title: str, families: Sequence[str]
) -> Figure:
    """Lay out a figure: for each kind its mean over layers and heads, large, then each head, small.

    Raises:
        OptionError: there are no records.
    """
    if not records:
        raise OptionError("there are no attention records to draw; record a model first.")
    sections = [_Section(members) for members in group(records).values()]
    width = max(5.2, *(section.width for section in sections)) + 2 * _MARGIN
    height = _TITLE + sum(section.height for section in sections) + _BAR + 2 * _MARGIN
    figure = Figure(figsize=(width, height), facecolor="white")
    place = _Place(figure, width, height, list(families))
    place.text(_MARGIN, _MARGIN + 0.1, clipped_text(title, int(width / 0.13)), size=14)
    top = _MARGIN + _TITLE
    for section in sections:
        section.draw(place, top)
        top += section.height
    _colour_bar(place, records, top)
    return figure


class _Place:
    """Puts things on a figure by inches from its upper left corner."""

    def __init__(self, figure: Figure, width: float, height: float, families: list[str]) -> None:
        self.figure, self.width, self.height = figure, width, height
        self.families = families

    def text(self, left: float, top: float, text: str, *, size: float) -> None:
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            text,
            fontsize=size,
            family=self.families,
            verticalalignment="center",
            parse_math=False,
        )

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        box = (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
        )
        return self.figure.add_axes(box)


class _Section:
    """One kind of attention: its large map and, beside it, each layer and head if there are several."""

    def __init__(self, records: list[AttentionRecord]) -> None:
        self.records = records
        same_tokens = len({(record.query_tokens, record.key_tokens) for record in records}) == 1
        self.large = overall_mean(records) if same_tokens else records[-1].mean()
        self.heads = max(record.heads for record in records)
        self.several = sum(record.heads for record in records) > 1
        queries, keys = self.large.query_tokens, self.large.key_tokens
        longest = max(len(queries), len(keys))
        self.cell = min(max(5.5 / longest, 0.165), 0.42)
        self.label_width = _label_room(queries)
        # Labels slant by 60 degrees: so high, and the last one leans so far beyond the map.
        self.label_height = 0.87 * _label_room(keys)
        lean = 0.5 * _label_room(keys)
        self.map_width, self.map_height = self.cell * len(keys), self.cell * len(queries)
        self.left_width = self.label_width + self.map_width + lean
        room = max(self.map_height / len(records) - _GAP, 0.9)
        unit = min(room / len(queries), _WIDEST_THUMBNAIL / len(keys))
        self.small = (unit * len(keys), unit * len(queries))
        grid_width = 0.65 + self.heads * (self.small[0] + _GAP)
        grid_height = len(records) * (self.small[1] + _GAP)
        self.width = self.left_width + (grid_width if self.several else 0.0)
        tallest = max(self.map_height, grid_height if self.several else 0.0)
        # A line for the kind and, where there are several maps, one for what is large and small.
        self.head = (0.48 if self.several else 0.3) + max(self.label_height, 0.3)
        self.height = self.head + tallest + 0.3

    def draw(self, place: _Place, top: float) -> None:
        """Draw the section below `top`."""
        words = kind_name(self.large.kind)
        if self.several:
            layers, heads = _several(len(self.records), "layer"), _several(self.heads, "head")
            note = f"large: the mean of {layers} × {heads}; small: each, tokens in the same order"
            place.text(_MARGIN, top + 0.3, note, size=8)
        else:
            words += f", layer {self.large.layer + 1}"
        place.text(_MARGIN, top + 0.1, words, size=11)
        below = top + self.head
        axes = place.axes(_MARGIN + self.label_width, below, self.map_width, self.map_height)
        paint(axes, self.large)
        label(axes, self.large, place.families)
        if self.cell >= _CELL_WITH_NUMBER:
            write_numbers(axes, self.large)
        if self.several:
            self._draw_grid(place, below)

    def _draw_grid(self, place: _Place, top: float) -> None:
        width, height = self.small
        left = _MARGIN + self.left_width + 0.65
        for column in range(self.heads):
            place.text(left + column * (width + _GAP), top - 0.1, f"head {column + 1}", size=8)
        for row, record in enumerate(self.records):
            above = top + row * (height + _GAP)
            place.text(left - 0.6, above + height / 2, f"layer {record.layer + 1}", size=8)
            for head in range(record.heads):
                axes = place.axes(left + head * (width + _GAP), above, width, height)
                paint(axes, record.head(head))


def _several(count: int, thing: str) -> str:
    return f"{count} {thing}" + ("" if count == 1 else "s")


def _label_room(tokens: Sequence[str]) -> float:
    """Inches that the longest label takes; East Asian characters are two letters wide."""
    return 0.2 + _LETTER * max(cell_len(clipped(token)) for token in tokens)


def _colour_bar(place: _Place, records: Sequence[AttentionRecord], top: float) -> None:
    """A bar from 0 to 1, what hatching means, and what was done to the tokens."""
    axes = place.axes(_MARGIN + 0.05, top + 0.22, 2.4, 0.13)
    bar = place.figure.colorbar(
        ScalarMappable(SCALE, COLOUR_MAP),
        cax=axes,
        orientation="horizontal",
        ticks=[0, 0.25, 0.5, 0.75, 1],
    )
    bar.ax.set_xticklabels(["0", "0.25", "0.5", "0.75", "1"])
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set(linewidth=0.5, edgecolor="#b4bcc4")
    measures = ", ".join(dict.fromkeys(record.measure for record in records))
    place.text(_MARGIN + 0.05, top + 0.1, measures, size=8)
    key = Patch(
        facecolor="white",
        edgecolor=HATCH_COLOUR,
        linewidth=0.4,
        hatch="////",
        label="masked: may not attend",
    )
    place.figure.legend(
        handles=[key],
        loc="center left",
        bbox_to_anchor=((_MARGIN + 2.6) / place.width, 1 - (top + 0.28) / place.height),
        frameon=False,
        fontsize=8,
        handlelength=2.2,
        borderpad=0,
    )
    if any(record.merged for record in records):
        place.text(_MARGIN + 0.05, top + 0.72, MERGED_NOTE, size=8)


def _texts(records: Sequence[AttentionRecord], title: str) -> list[str]:
    tokens = (token for record in records for token in (*record.query_tokens, *record.key_tokens))
    named = (text for record in records for text in (record.kind, record.measure))
    return [title, *named, *(visible(token) for token in tokens), "…×"]


def save_png(
    records: Sequence[AttentionRecord], path: str | Path, title: str = "Attention weights"
) -> None:
    """Draw records to a PNG.

    Raises:
        OptionError: there are no records.
        MissingFontError: no installed font has the glyphs of some token; the message says what to install.
    """
    figure = draw_figure(records, title=title, families=font_families(_texts(records, title)))
    # A very long sentence at 150 dots an inch would be more than a viewer opens.
    longest = max(figure.get_size_inches())
    with matplotlib.rc_context({"hatch.linewidth": _HATCH_LINE}):
        figure.set_dpi(min(150, math.floor(12000 / longest)))
        FigureCanvasAgg(figure).print_png(str(path))


def save_svg(
    records: Sequence[AttentionRecord], path: str | Path, title: str = "Attention weights"
) -> None:
    """Draw records to an SVG whose text stays text, so that whoever views it supplies the font.

    Raises:
        OptionError: there are no records.
    """
    figure = draw_figure(records, title=title, families=SVG_FAMILIES)
    settings = matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "heedful", "hatch.linewidth": _HATCH_LINE}
    )
    with warnings.catch_warnings(), settings:
        # Glyphs and families that are missing here matter not: the text is written, not drawn.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        FigureCanvasSVG(figure).print_svg(str(path), metadata={"Date": None, "Title": title})
