"""The style of every plot: readable on a phone, on light and dark pages, and without telling colours apart.

Panels stand one below the other. Lines are labelled at their ends, bars above themselves; colours are those of Okabe
and Ito (https://jfly.uni-koeln.de/color/), which people with any colour vision can tell apart, and each line has a
marker of its own. An SVG file has a transparent background, and its text turns light on a dark page.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heedful.atomic_files import write_text
from heedful.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".svg")
COLOURS: Final = (
    "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7a7a7a", "#a6761d", "#1b9e77",
)  # fmt: skip
MARKERS: Final = "osD^vPX*<>"
INK, FAINT, DARK_INK, DARK_FAINT = "#1f2328", "#d0d7de", "#e6edf3", "#3d444d"
WIDTH: Final = 5.4
"""Inches of a figure: at 72 points an inch the 390 pixels of a phone."""
PANEL, HEADING, ROW, LINE = 2.5, 0.5, 0.42, 11.0
"""Inches of a panel of lines, of what stands above the panels, and of a bar; points from one label to the next."""
MOST_LABELS: Final = 9
"""More lines than these have a legend below the panel instead of labels at their ends."""
LABEL: Final = 22
"""Letters of a line of a label."""
_DARK: Final = f"""<style>@media (prefers-color-scheme: dark) {{
text {{ fill: {DARK_INK} }}
[style*="fill: {INK}"] {{ fill: {DARK_INK} !important }}
[style*="stroke: {INK}"] {{ stroke: {DARK_INK} !important }}
[style*="stroke: {FAINT}"] {{ stroke: {DARK_FAINT} !important }}
}}</style>"""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line over numbers, and a band around it."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    colour: str = COLOURS[0]
    marker: str = MARKERS[0]
    dashes: str = "-"
    strong: bool = False
    """Whether it is the one that the plot is about."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A number with a name, and perhaps a range."""

    name: str
    value: float
    text: str
    """The number as it is written beside the bar."""
    low: float | None = None
    high: float | None = None
    strong: bool = True
    colour: str = COLOURS[1]


def check_format(path: Path) -> None:
    """Raise OptionError for a file that is no kind of picture."""
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"{path} ends in {path.suffix!r}; a plot is a .png or .svg file")


@contextmanager
def house_style() -> Iterator[None]:
    """Fonts, colours and lines of all plots, inside the block."""
    from matplotlib import rc_context

    style = {
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "legend.fontsize": 9,
        # Text as text: smaller files, and nothing in them that differs between two runs.
        "svg.fonttype": "none",
        "svg.hashsalt": "heedful",
    }
    with rc_context(style):  # type: ignore[arg-type]
        yield


def new_figure(heights: Sequence[float], title: str = "") -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each height in inches, one below the other."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    wrapped = textwrap.fill(title, 52)
    above = HEADING * bool(title) + 0.17 * wrapped.count("\n")
    layout = ConstrainedLayoutEngine(h_pad=0.09)
    figure = Figure(figsize=(WIDTH, sum(heights) + above), layout=layout)
    if title:
        figure.suptitle(wrapped, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=list(heights))
    return figure, list(panels[:, 0])


def draw_curves(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draw lines with their bands; `label_curves` adds their names when the axes are as they stay."""
    for curve in curves:
        axes.plot(
            curve.xs, curve.ys, curve.dashes, color=curve.colour, marker=curve.marker, label=curve.name,
            linewidth=2.4 if curve.strong else 1.5, zorder=3 if curve.strong else 2,
        )  # fmt: skip
        if curve.lows and curve.highs and list(curve.lows) != list(curve.highs):
            axes.fill_between(
                curve.xs, curve.lows, curve.highs, color=curve.colour, alpha=0.15, linewidth=0
            )


def label_curves(figure: Figure, panels: Sequence[tuple[Axes, Sequence[Curve]]]) -> None:
    """Name the lines of each panel at their ends, apart from each other; many lines in a legend below the panel."""
    labelled = []
    for axes, curves in panels:
        if len(curves) > MOST_LABELS:
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.22), ncols=2)
            continue
        for curve in curves:
            text = axes.text(
                1.03, 0.5, textwrap.fill(curve.name, LABEL), transform=axes.transAxes,
                fontsize=9, va="center", fontweight="bold" if curve.strong else "normal",
            )  # fmt: skip
            labelled.append((axes, curve, text))
    figure.draw_without_rendering()
    for axes in dict.fromkeys(axes for axes, _, _ in labelled):
        mine = [(curve, text) for one, curve, text in labelled if one is axes]
        height = axes.get_window_extent().height * 72 / figure.dpi
        to_axes = axes.transData + axes.transAxes.inverted()
        ends = [to_axes.transform((curve.xs[-1], curve.ys[-1])) for curve, _ in mine]
        lines = [text.get_text().count("\n") + 1 for _, text in mine]
        places = spread([end[1] * height for end in ends], [n * LINE for n in lines], height)
        for (curve, text), end, place in zip(mine, ends, places, strict=True):
            text.set_y(place / height)
            axes.plot(
                [end[0], 1.02], [end[1], place / height], color=curve.colour, linewidth=0.8, alpha=0.7,
                transform=axes.transAxes, clip_on=False,
            )  # fmt: skip


def spread(wanted: Sequence[float], sizes: Sequence[float], height: float) -> list[float]:
    """Return places near the wanted ones, in the same order, at which texts of these sizes do not overlap.

    They are moved up where they would, and those that end above `height` down again.

    >>> spread([10.0, 12.0, 50.0], [10.0, 10.0, 10.0], 100.0)
    [10.0, 20.0, 50.0]
    >>> spread([99.0, 98.0], [10.0, 10.0], 100.0)
    [100.0, 90.0]
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    found = list(wanted)
    for before, here in pairwise(order):
        found[here] = max(found[here], found[before] + (sizes[before] + sizes[here]) / 2)
    if order:
        found[order[-1]] = min(found[order[-1]], height)
    for after, here in pairwise(reversed(order)):
        found[here] = min(found[here], found[after] - (sizes[here] + sizes[after]) / 2)
    return found


def draw_bars(axes: Axes, bars: Sequence[Bar]) -> None:
    """Draw bars from the top down, each under its name, its number beside it."""
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    places = range(len(bars) - 1, -1, -1)
    most = max((bar.value if bar.high is None else bar.high for bar in bars), default=0.0) or 1.0
    for place, bar in zip(places, bars, strict=True):
        axes.barh(place, bar.value, height=0.34, color=bar.colour)
        if bar.low is not None and bar.high is not None and bar.low != bar.high:
            axes.plot([bar.low, bar.high], [place, place], color=INK, linewidth=1.2, marker="|")
        weight = "bold" if bar.strong else "normal"
        axes.text(0, place + 0.24, bar.name, fontsize=9, va="bottom", fontweight=weight)
        end = max(bar.value, bar.high or 0.0)
        axes.text(end + most * 0.015, place, bar.text, fontsize=9, va="center", fontweight=weight)
    axes.set_xlim(0, most * 1.18)
    axes.set_ylim(-0.4, len(bars) - 0.25)


def save(figure: Figure, path: Path) -> None:
    """Write a figure: SVG for light and dark pages, PNG on white. An existing file is replaced at once."""
    check_format(path)
    if path.suffix.lower() == ".png":
        figure.savefig(path, dpi=160, facecolor="white")
        return
    written = StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    end = text.index(">", text.index("<svg")) + 1
    write_text(path, text[:end] + "\n" + _DARK + text[end:])
