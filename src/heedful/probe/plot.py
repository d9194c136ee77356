"""Plots of measurements: one panel a measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from heedful.bench.plot import check_format
from heedful.probe.measures import MEASURES
from heedful.probe.results import Curve, Line, over_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#b3261e", "#1f4e79", "#2e7d32", "#8a6d00", "#6a1b9a", "#00838f", "#795548", "#455a64", "#d81b60", "#827717",
)  # fmt: skip
MARKERS = "osD^vPX*<>"
Style = Literal["-", "--", ":", "-."]
STYLES: tuple[Style, ...] = ("-", "--", ":", "-.")
MOST_TICKS = 10
"""More places than these on an axis are left to Matplotlib to choose from."""


def draw(curves: Sequence[Curve], path: Path, title: str = "") -> None:
    """Draw a panel for each measure, side by side, and save them.

    Raises: OptionError for a file that is no kind of picture.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    check_format(path)
    names = list(dict.fromkeys(one.measure for one in curves))
    encoders = list(dict.fromkeys(one.encoder for one in curves))
    variants = list(dict.fromkeys(one.variant for one in curves if one.variant))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "heedful"}):
        figure: Figure = Figure(figsize=(max(6.4, 4.6 * len(names)), 4.4), layout="constrained")
        if title:
            figure.suptitle(title, fontsize=11)
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            panel(axes, [one for one in curves if one.measure == name], encoders, variants)
        _legend(figure, encoders, variants)
        date = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=100, metadata=date)


def panel(
    axes: Axes, curves: Sequence[Curve], encoders: Sequence[str], variants: Sequence[str]
) -> None:
    """Draw the curves of one measure: a colour an encoder, a line style a variant, a band for the seeds."""
    measure = MEASURES[curves[0].measure]
    lines = over_seeds(curves)
    for line in lines:
        _line(axes, line, encoders.index(line.encoder), _style(line.variant, variants))
    across, up = measure.logarithmic
    places = sorted({x for line in lines for x in line.points})
    if across:
        axes.set_xscale("log", base=2)
    if measure.names:
        axes.set_xticks(range(len(measure.names)), measure.names)
    elif len(places) <= MOST_TICKS:
        axes.set_xticks(places, [f"{x:,.0f}" for x in places])
    if up and any(mean > 0 for line in lines for mean, _, _ in line.points.values()):
        axes.set_yscale("log")
    axes.set_xlabel(measure.axis, fontsize=8)
    if measure.form == "seconds":
        axes.set_ylabel("seconds", fontsize=8)
    axes.set_title(measure.title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, which="major", alpha=0.25)


def _legend(figure: Figure, encoders: Sequence[str], variants: Sequence[str]) -> None:
    """Say below the panels, for all of them, which colour is which encoder and which style which variant."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_colour(place), marker=_marker(place), markersize=4, label=encoder)
        for place, encoder in enumerate(encoders)
    ]
    handles += [
        Line2D([], [], color="#555555", linestyle=_style(variant, variants), label=variant)
        for variant in variants
    ]
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(5, 110 // (longest + 8)))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, fontsize=7, frameon=False
    )


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _marker(place: int) -> str:
    return MARKERS[place % len(MARKERS)]


def _style(variant: str, variants: Sequence[str]) -> Style:
    return STYLES[variants.index(variant) % len(STYLES)] if variant else STYLES[0]


def _line(axes: Axes, line: Line, place: int, style: Style) -> None:
    xs = list(line.points)
    means, lows, highs = zip(*line.points.values(), strict=True)
    axes.plot(
        xs, means, style, color=_colour(place), marker=_marker(place), markersize=4, linewidth=1.4
    )
    if highs != lows:
        axes.fill_between(xs, lows, highs, color=_colour(place), alpha=0.12, linewidth=0)
