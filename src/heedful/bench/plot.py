"""Plots of measurements: curves over lengths, or bars at one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heedful.bench.operations import OPERATIONS
from heedful.bench.results import Result
from heedful.bench.show import seconds, size
from heedful.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
_OURS = "#b3261e"
_OTHERS = ("#1f4e79", "#2e7d32", "#8a6d00", "#6a1b9a", "#455a64", "#00838f", "#795548")
_MARKERS = "osD^vPX*"
PANELS = (
    ("forward", "time, forward"),
    ("both", "time, forward + backward"),
    ("peak", "memory at most, forward + backward"),
)


def check_format(path: Path) -> None:
    """Raise OptionError for a file that is no kind of picture."""
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"{path} ends in {path.suffix!r}; a plot is a .png or .svg file")


def draw(results: Sequence[Result], path: Path, title: str) -> None:
    """Draw one operation at one number of threads: time forward, with backward, and memory, and save it.

    Curves over the lengths where there are several, else bars. Those that have no speed are left out.
    """
    from matplotlib import rc_context

    check_format(path)
    measured = [one for one in results if one.status == "measured"]
    if not measured:
        raise OptionError("nothing was measured, so there is nothing to draw")
    panels = [panel for panel in PANELS if any(_value(one, panel[0]) for one in measured)]
    # text as text: smaller files, and nothing in them that differs between two runs
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "heedful"}):
        _figure(measured, panels, title).savefig(
            path, dpi=90, metadata={"Date": None} if path.suffix.lower() == ".svg" else None
        )


def _figure(measured: Sequence[Result], panels: Sequence[tuple[str, str]], title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.1 * len(panels), 3.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    lengths = {_length(one) for one in measured}
    for one_axes, (key, label) in zip(axes, panels, strict=True):
        (_curves if len(lengths) > 1 else _bars)(one_axes, measured, key)
        one_axes.set_title(label, fontsize=9)
        one_axes.tick_params(labelsize=8)
        one_axes.grid(visible=True, which="major", alpha=0.25)
    if len(lengths) > 1:
        axes[0].legend(fontsize=7, frameon=False)
    return figure


def _length(result: Result) -> int:
    return result.sizes[OPERATIONS[result.operation].scans[0]]


def _value(result: Result, key: str) -> float | None:
    if key == "peak":
        memory = result.memory
        return None if memory is None else memory.peak_both or memory.peak_forward
    timing = result.forward if key == "forward" else result.both
    return None if timing is None else timing.median


def _styles(results: Sequence[Result]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each contender: ours red, the first of ours with a circle."""
    names = dict.fromkeys(one.contender for one in results)
    ours = {one.contender for one in results if one.ours}
    others = iter(_OTHERS * 2)
    return {
        name: (_OURS if name in ours else next(others), _MARKERS[number % len(_MARKERS)])
        for number, name in enumerate(names)
    }


def _curves(axes: Axes, results: Sequence[Result], key: str) -> None:
    for name, (colour, marker) in _styles(results).items():
        points = [
            (_length(one), value)
            for one in results
            if one.contender == name and (value := _value(one, key))
        ]
        if points:
            xs, ys = zip(*sorted(points), strict=True)
            axes.plot(xs, ys, color=colour, marker=marker, markersize=4, linewidth=1.4, label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2 if key == "peak" else 10)
    axes.set_xlabel(OPERATIONS[results[0].operation].axis, fontsize=8)
    _ticks(axes, sorted({_length(one) for one in results}), key)


def _ticks(axes: Axes, lengths: Sequence[int], key: str) -> None:
    """Lengths where something was measured, as many as have room; times and bytes as the tables write them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    apart = max(2.0, (lengths[-1] / lengths[0]) ** 0.2)
    shown: list[int] = []
    for length in reversed(lengths):
        if not shown or length * apart <= shown[-1]:
            shown.append(length)
    shown.reverse()
    axes.set_xticks(shown, [f"{length:,}" for length in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    if key == "peak":
        axes.yaxis.set_major_locator(LogLocator(base=2, numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: size(round(value))))
        return
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))


def _bars(axes: Axes, results: Sequence[Result], key: str) -> None:
    shown = [(one, value) for one in results if (value := _value(one, key))][::-1]
    styles = _styles(results)
    places = range(len(shown))
    axes.barh(
        places, [value for _, value in shown], color=[styles[one.contender][0] for one, _ in shown]
    )
    axes.set_yticks(places, [one.contender for one, _ in shown])
    for place, (_, value) in zip(places, shown, strict=True):
        text = size(round(value)) if key == "peak" else seconds(value)
        axes.text(value, place, f" {text}", va="center", fontsize=7)
    axes.margins(x=0.25)
