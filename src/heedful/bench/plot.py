"""Plots of measurements: curves over lengths, or bars at one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heedful.bench.operations import OPERATIONS
from heedful.bench.results import Result
from heedful.bench.show import seconds, size
from heedful.errors import OptionError
from heedful.plots import (
    COLOURS,
    MARKERS,
    PANEL,
    ROW,
    Bar,
    Curve,
    check_format,
    draw_bars,
    draw_curves,
    house_style,
    label_curves,
    new_figure,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (
    ("forward", "Time, forward"),
    ("both", "Time, forward and backward"),
    ("peak", "Most memory, forward and backward"),
)


def draw(results: Sequence[Result], path: Path, title: str) -> None:
    """Draw one operation at one number of threads: time forward, with backward, and memory, and save it.

    Curves over the lengths where there are several, else bars. Those that have no speed are left out.
    """
    check_format(path)
    measured = [one for one in results if one.status == "measured"]
    if not measured:
        raise OptionError("nothing was measured, so there is nothing to draw")
    shown = [
        (key, label, found)
        for key, label in PANELS
        if (found := [one for one in measured if _value(one, key)])
    ]
    is_scan = len({_length(one) for one in measured}) > 1
    styles = _styles(measured)
    heights = [PANEL if is_scan else 0.45 + ROW * len(found) for _, _, found in shown]
    with house_style():
        figure, panels = new_figure(heights, title)
        labels = []
        for axes, (key, label, found) in zip(panels, shown, strict=True):
            axes.set_title(label)
            if is_scan:
                labels.append((axes, _curves(axes, found, key, styles)))
            else:
                draw_bars(axes, _bars(found, key))
        label_curves(figure, labels)
        save(figure, path)


def _length(result: Result) -> int:
    return result.sizes[OPERATIONS[result.operation].scans[0]]


def _value(result: Result, key: str) -> float | None:
    if key == "peak":
        memory = result.memory
        return None if memory is None else memory.peak_both or memory.peak_forward
    timing = result.forward if key == "forward" else result.both
    return None if timing is None else timing.median


def _styles(results: Sequence[Result]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each contender in all panels: the first colour for ours, one of its own for each other."""
    ours = {one.contender for one in results if one.ours}
    others = iter(COLOURS[1:] * 2)
    return {
        name: (COLOURS[0] if name in ours else next(others), MARKERS[number % len(MARKERS)])
        for number, name in enumerate(dict.fromkeys(one.contender for one in results))
    }


def _curves(
    axes: Axes, results: Sequence[Result], key: str, styles: dict[str, tuple[str, str]]
) -> list[Curve]:
    curves = []
    for name in dict.fromkeys(one.contender for one in results):
        mine = [one for one in results if one.contender == name]
        points = sorted((_length(one), value) for one in mine if (value := _value(one, key)))
        xs, ys = zip(*points, strict=True)
        colour, marker = styles[name]
        curves.append(
            Curve(name=name, xs=xs, ys=ys, colour=colour, marker=marker, strong=mine[0].ours)
        )
    draw_curves(axes, curves)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2 if key == "peak" else 10)
    axes.set_xlabel(OPERATIONS[results[0].operation].axis)
    _ticks(axes, sorted({_length(one) for one in results}), key)
    return curves


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


def _bars(results: Sequence[Result], key: str) -> list[Bar]:
    """The bars of one panel, in the order of the results."""
    write = (lambda value: size(round(value))) if key == "peak" else seconds
    return [
        Bar(
            name=one.contender,
            value=value,
            text=write(value),
            strong=one.ours,
            colour=COLOURS[0] if one.ours else COLOURS[1],
        )
        for one in results
        if (value := _value(one, key))
    ]
