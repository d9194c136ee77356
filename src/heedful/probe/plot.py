"""Plots of measurements: one panel a measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
STYLES = ("-", "--", ":", "-.")


def draw(curves: Sequence[Curve], path: Path, title: str = "") -> None:
    """Draw a panel for each measure, side by side, and save them.

    Raises: OptionError for a file that is no kind of picture.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    check_format(path)
    names = list(dict.fromkeys(one.measure for one in curves))
    encoders = list(dict.fromkeys(one.encoder for one in curves))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "heedful"}):
        figure: Figure = Figure(figsize=(4.6 * len(names), 4.0), layout="constrained")
        if title:
            figure.suptitle(title, fontsize=11)
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            panel(axes, [one for one in curves if one.measure == name], encoders)
        date = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=100, metadata=date)


def panel(axes: Axes, curves: Sequence[Curve], encoders: Sequence[str]) -> None:
    """Draw the curves of one measure: a colour an encoder, a line style a variant, a band for the seeds."""
    measure = MEASURES[curves[0].measure]
    lines = over_seeds(curves)
    variants = list(dict.fromkeys(line.variant for line in lines))
    for line in lines:
        place = encoders.index(line.encoder)
        _line(axes, line, place, STYLES[variants.index(line.variant) % len(STYLES)])
    across, up = measure.logarithmic
    if across:
        axes.set_xscale("log", base=2)
    if up and any(mean > 0 for line in lines for mean, _, _ in line.points.values()):
        axes.set_yscale("log")
    if measure.names:
        axes.set_xticks(range(len(measure.names)), measure.names)
    axes.set_xlabel(measure.axis, fontsize=8)
    axes.set_title(measure.title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.legend(fontsize=7, frameon=False)


def _line(axes: Axes, line: Line, place: int, style: str) -> None:
    colour = COLOURS[place % len(COLOURS)]
    xs = list(line.points)
    means, lows, highs = zip(*line.points.values(), strict=True)
    axes.plot(
        xs, means, style, color=colour, marker=MARKERS[place % len(MARKERS)], markersize=4,
        linewidth=1.4, label=line.label,
    )  # fmt: skip
    if highs != lows:
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.12, linewidth=0)
