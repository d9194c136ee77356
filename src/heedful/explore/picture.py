"""Heat maps of attention records as PNG or SVG with matplotlib, without pyplot's global state."""

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
from heedful.explore.figure_files import SVG_FAMILIES
from heedful.explore.first_shown import first_shown
from heedful.explore.fonts import font_families
from heedful.explore.heat_map_axes import (
    COLOUR_MAP,
    HATCH_COLOUR,
    SCALE_NOTE,
    WEIGHT_NORM,
    annotate_weights,
    draw_weights,
    label_tokens,
)
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import group_by_kind, kind_name
from heedful.explore.subword_merging import MERGED_NOTE
from heedful.explore.tokens import truncate, truncate_text, visible

_HATCH_LINE: Final = 0.6
_MARGIN: Final = 0.25  # inches, as every length below
_TITLE_HEIGHT: Final = 0.4
_COLOUR_BAR_HEIGHT: Final = 0.75
_GAP: Final = 0.12
_MAX_THUMBNAIL_WIDTH: Final = 1.8
_MIN_CELL_WITH_NUMBER: Final = 0.36
_LETTER_WIDTH: Final = 0.075
"""Average width of a letter at the label size."""


def draw_figure(
    records: Sequence[AttentionRecord], *, title: str, families: Sequence[str]
) -> Figure:
    """Return a figure with one section per kind: a large mean over heads of the layer shown first, and each head small.

    Raises:
        OptionError: there are no records.
    """
    if not records:
        raise OptionError("there are no attention records to draw; record a model first.")
    sections = [_Section(members) for members in group_by_kind(records).values()]
    width = max(5.2, *(section.width for section in sections)) + 2 * _MARGIN
    height = (
        _TITLE_HEIGHT
        + sum(section.height for section in sections)
        + _COLOUR_BAR_HEIGHT
        + 2 * _MARGIN
    )
    figure = Figure(figsize=(width, height), facecolor="white")
    layout = _InchLayout(figure, width, height, list(families))
    layout.text(_MARGIN, _MARGIN + 0.1, truncate_text(title, int(width / 0.13)), size=14)
    top = _MARGIN + _TITLE_HEIGHT
    for section in sections:
        section.draw(layout, top)
        top += section.height
    _colour_bar(layout, records, top)
    return figure


class _InchLayout:
    """Places text and axes on a figure, in inches from its upper left corner."""

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
    """One kind of attention: its large heat map and, if there are several, a grid of layers × heads beside it."""

    def __init__(self, records: list[AttentionRecord]) -> None:
        self.records = records
        self.large = first_shown(records).mean()
        self.heads = max(record.heads for record in records)
        self.has_grid = sum(record.heads for record in records) > 1
        queries, keys = self.large.query_tokens, self.large.key_tokens
        longest = max(len(queries), len(keys))
        self.cell = min(max(5.5 / longest, 0.165), 0.42)
        self.label_width = _label_extent(queries)
        # Labels slant by 60 degrees: height = sin 60° and overhang of the last label = cos 60° of their length.
        self.label_height = 0.87 * _label_extent(keys)
        lean = 0.5 * _label_extent(keys)
        self.map_width, self.map_height = self.cell * len(keys), self.cell * len(queries)
        self.main_width = self.label_width + self.map_width + lean
        room = max(self.map_height / len(records) - _GAP, 0.9)
        unit = min(room / len(queries), _MAX_THUMBNAIL_WIDTH / len(keys))
        self.small = (unit * len(keys), unit * len(queries))
        grid_width = 0.65 + self.heads * (self.small[0] + _GAP)
        grid_height = len(records) * (self.small[1] + _GAP)
        self.width = self.main_width + (grid_width if self.has_grid else 0.0)
        tallest = max(self.map_height, grid_height if self.has_grid else 0.0)
        # One line for the kind and, if there are several heat maps, one for the note below it.
        self.heading_height = (0.48 if self.has_grid else 0.3) + max(self.label_height, 0.3)
        self.height = self.heading_height + tallest + 0.3

    def draw(self, layout: _InchLayout, top: float) -> None:
        """Draw the section below `top`."""
        heading = kind_name(self.large.kind)
        heading += f", layer {self.large.layer + 1}"
        if self.has_grid:
            heads = f"mean over {_plural(self.heads, 'head')}" if self.heads > 1 else "one head"
            note = f"large: layer {self.large.layer + 1}, {heads}; small: each head, tokens in the same order"
            layout.text(_MARGIN, top + 0.3, note, size=8)
        layout.text(_MARGIN, top + 0.1, heading, size=11)
        below = top + self.heading_height
        axes = layout.axes(_MARGIN + self.label_width, below, self.map_width, self.map_height)
        draw_weights(axes, self.large)
        label_tokens(axes, self.large, layout.families)
        if self.cell >= _MIN_CELL_WITH_NUMBER:
            annotate_weights(axes, self.large)
        if self.has_grid:
            self._draw_grid(layout, below)

    def _draw_grid(self, layout: _InchLayout, top: float) -> None:
        width, height = self.small
        left = _MARGIN + self.main_width + 0.65
        for column in range(self.heads):
            layout.text(left + column * (width + _GAP), top - 0.1, f"head {column + 1}", size=8)
        for row, record in enumerate(self.records):
            above = top + row * (height + _GAP)
            layout.text(left - 0.6, above + height / 2, f"layer {record.layer + 1}", size=8)
            for head in range(record.heads):
                axes = layout.axes(left + head * (width + _GAP), above, width, height)
                draw_weights(axes, record.head(head))


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _label_extent(tokens: Sequence[str]) -> float:
    """Length of the longest label in inches; East Asian characters are two letters wide."""
    return 0.2 + _LETTER_WIDTH * max(cell_len(truncate(token)) for token in tokens)


def _colour_bar(layout: _InchLayout, records: Sequence[AttentionRecord], top: float) -> None:
    """Draw the colour bar from 0 to 1, the legend of masked cells and, where it applies, the note on merging."""
    axes = layout.axes(_MARGIN + 0.05, top + 0.22, 2.4, 0.13)
    bar = layout.figure.colorbar(
        ScalarMappable(WEIGHT_NORM, COLOUR_MAP),
        cax=axes,
        orientation="horizontal",
        ticks=[0, 0.05, 0.25, 0.5, 1],
    )
    bar.ax.set_xticklabels(["0", "0.05", "0.25", "0.5", "1"])
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set(linewidth=0.5, edgecolor="#b4bcc4")
    measures = ", ".join(dict.fromkeys(record.measure for record in records))
    layout.text(_MARGIN + 0.05, top + 0.1, f"{measures}, {SCALE_NOTE}", size=8)
    key = Patch(
        facecolor="white",
        edgecolor=HATCH_COLOUR,
        linewidth=0.4,
        hatch="////",
        label="masked: may not attend",
    )
    layout.figure.legend(
        handles=[key],
        loc="center left",
        bbox_to_anchor=((_MARGIN + 2.6) / layout.width, 1 - (top + 0.28) / layout.height),
        frameon=False,
        fontsize=8,
        handlelength=2.2,
        borderpad=0,
    )
    if any(record.merged for record in records):
        layout.text(_MARGIN + 0.05, top + 0.72, MERGED_NOTE, size=8)


def _texts(records: Sequence[AttentionRecord], title: str) -> list[str]:
    tokens = (token for record in records for token in (*record.query_tokens, *record.key_tokens))
    named = (text for record in records for text in (record.kind, record.measure))
    return [title, *named, *(visible(token) for token in tokens), "…×"]


def save_png(
    records: Sequence[AttentionRecord], path: str | Path, title: str = "Attention weights"
) -> None:
    """Write heat maps of the records to a PNG file.

    Raises:
        OptionError: there are no records.
        MissingFontError: no installed font has the glyphs of some token.
    """
    figure = draw_figure(records, title=title, families=font_families(_texts(records, title)))
    # Limits the image of a very long sentence to 12,000 pixels, which viewers can open.
    longest = max(figure.get_size_inches())
    with matplotlib.rc_context({"hatch.linewidth": _HATCH_LINE}):
        figure.set_dpi(min(150, math.floor(12000 / longest)))
        FigureCanvasAgg(figure).print_png(str(path))


def save_svg(
    records: Sequence[AttentionRecord], path: str | Path, title: str = "Attention weights"
) -> None:
    """Write heat maps of the records to an SVG file; its text stays text, in the fonts of the viewer.

    Raises:
        OptionError: there are no records.
    """
    figure = draw_figure(records, title=title, families=SVG_FAMILIES)
    settings = matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "heedful", "hatch.linewidth": _HATCH_LINE}
    )
    with warnings.catch_warnings(), settings:
        # The text is not rendered here, so missing glyphs do not matter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        FigureCanvasSVG(figure).print_svg(str(path), metadata={"Date": None, "Title": title})
