"""Plots of measurements: one panel a measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from heedful.plots import (
    COLOURS,
    MARKERS,
    PANEL,
    Curve,
    check_format,
    draw_curves,
    house_style,
    label_curves,
    new_figure,
    save,
)
from heedful.probe.measures import MEASURES
from heedful.probe.results import Curve as Measured
from heedful.probe.results import over_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Style = Literal["-", "--", ":", "-."]
STYLES: tuple[Style, ...] = ("-", "--", ":", "-.")
MOST_TICKS = 8
"""More places than these on an axis are left to Matplotlib to choose from."""


def draw(curves: Sequence[Measured], path: Path, title: str = "") -> None:
    """Draw a panel for each measure, one below the other, and save them.

    Raises: OptionError for a file that is no kind of picture.
    """
    check_format(path)
    names = list(dict.fromkeys(one.measure for one in curves))
    encoders = list(dict.fromkeys(one.encoder for one in curves))
    variants = list(dict.fromkeys(one.variant for one in curves if one.variant))
    with house_style():
        figure, panels = new_figure([PANEL + 0.3] * len(names), title)
        labels = [
            (axes, panel(axes, [one for one in curves if one.measure == name], encoders, variants))
            for axes, name in zip(panels, names, strict=True)
        ]
        label_curves(figure, labels)
        save(figure, path)


def panel(
    axes: Axes, curves: Sequence[Measured], encoders: Sequence[str], variants: Sequence[str]
) -> list[Curve]:
    """Draw the curves of one measure: a colour an encoder, a line style a variant, a band for the seeds."""
    measure = MEASURES[curves[0].measure]
    drawn = []
    for line in over_seeds(curves):
        place = encoders.index(line.encoder)
        means, lows, highs = zip(*line.points.values(), strict=True)
        drawn.append(
            Curve(
                name=", ".join(filter(None, (line.encoder, line.variant))),
                xs=list(line.points),
                ys=means,
                lows=lows,
                highs=highs,
                colour=COLOURS[place % len(COLOURS)],
                marker=MARKERS[place % len(MARKERS)],
                dashes=_style(line.variant, variants),
            )
        )
    draw_curves(axes, drawn)
    across, up = measure.logarithmic
    places = sorted({x for curve in drawn for x in curve.xs})
    if across:
        axes.set_xscale("log", base=2)
    if measure.names:
        axes.set_xticks(range(len(measure.names)), measure.names)
    elif len(places) <= MOST_TICKS:
        axes.set_xticks(places, [f"{x:,.0f}" for x in places])
    if up and any(y > 0 for curve in drawn for y in curve.ys):
        axes.set_yscale("log")
    axes.set_xlabel(measure.axis)
    if measure.form == "seconds":
        axes.set_ylabel("seconds")
    axes.set_title(measure.title)
    return drawn


def _style(variant: str, variants: Sequence[str]) -> Style:
    return STYLES[variants.index(variant) % len(STYLES)] if variant else STYLES[0]
