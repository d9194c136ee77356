"""A line chart as inline SVG: for curves of training nothing more is needed."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heedful.errors import OptionError

_WIDTH: Final = 640
_HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 30, 44
_COLOURS: Final = 8
_DASHES: Final = ("", "7 4", "2 3", "9 3 2 3")
"""Curves differ by dash as well as by colour."""
_LETTER: Final = 7
"""Width of an average letter."""
_IN_TITLE: Final = 3
"""So many names stand beside the name of the axis; more have lines of their own."""
_KEY_WIDTH, _KEY_HEIGHT = 136, 18
_FEW: Final = 8
"""So many points are drawn as dots too, and by the logarithm they have numbers of their own."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One curve: its name, its (x, y) points, and how far around each y the values that it stands for spread."""

    name: str
    points: Sequence[Point]
    spread: Sequence[Point] = ()
    """(lowest, highest) of each point, or nothing."""


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from `low` to `high`.

    >>> ticks(0.0, 7.3)
    [0.0, 2.0, 4.0, 6.0]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


class _Axis:
    """From data to a place between two ends, straight or by the logarithm."""

    def __init__(
        self,
        values: Sequence[float],
        ends: Point,
        *,
        log: bool,
        round_low: bool = False,
        own: bool = False,
    ):
        self.log, self.ends = log, ends
        low, high = min(values), max(values)
        distinct = sorted(set(values))
        self.own = distinct if own and log and len(distinct) <= _FEW else None
        low, high = (low, high) if high > low else _around(low, log=log)
        # An axis that nearly reaches 0 should start there; one far from it would waste the chart.
        self.low = 0.0 if round_low and not log and 0 < low < 0.3 * high else low
        self.high = high

    def at(self, value: float) -> float:
        low, value, high = (
            (math.log(each) for each in (self.low, value, self.high))
            if self.log
            else (self.low, value, self.high)
        )
        start, end = self.ends
        return round(start + (value - low) / (high - low) * (end - start), 1)

    def ticks(self) -> list[float]:
        if self.own is not None:
            return self.own
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)


def _around(value: float, *, log: bool) -> Point:
    return (value / 2, value * 2) if log else (value - 0.5, value + 0.5)


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high` for an axis by the logarithm.

    >>> log_ticks(3, 700), log_ticks(8, 31)
    ([10.0, 100.0], [10.0, 20.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [round(f * 10.0**power, 12) for power in powers for f in factors]
        found = [each for each in found if low <= each <= high]
        if len(found) > 1:
            return found
    return ticks(low, high)


@dataclass(frozen=True)
class _Frame:
    """The axes, and where the drawing begins."""

    x: _Axis
    y: _Axis
    top: int
    height: int


def line_chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    from_zero: bool = False,
) -> str:
    """Return the curves as an inline SVG with axes and a key; `from_zero` begins the horizontal axis at 0.

    Points that are not finite are left out, and so are those that have no place on an axis by the logarithm.

    Raises:
        OptionError: no curve has a point.

    >>> line_chart([Series("loss", [(0, 2.0), (1, 1.0)])], "epoch", "loss").count("<path")
    1
    """
    curves = [_drawable(one, log_x=log_x, log_y=log_y) for one in series]
    if not any(one.points for one in curves):
        raise OptionError(
            "a chart needs at least one finite point; leave the chart out of the report."
        )
    frame = _frame(curves, log_x=log_x, log_y=log_y, from_zero=from_zero)
    summary = "; ".join(
        f"{one.name} from {one.points[0][1]:.4g} to {one.points[-1][1]:.4g}"
        for one in curves
        if one.points
    )
    words = html.escape(f"{y_label} by {x_label}: {summary}")
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {frame.height}" role="img" aria-label="{words}">'
    ]
    parts += _axes(frame, x_label, y_label)
    for number, one in enumerate(curves):
        parts += [*_key(number, one.name, len(curves)), *_curve(frame, number, one)]
    return "\n".join([*parts, "</svg>\n"])


def _drawable(one: Series, *, log_x: bool, log_y: bool) -> Series:
    kept = [
        number
        for number, (x, y) in enumerate(one.points)
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)
    ]
    spread = [one.spread[number] for number in kept] if one.spread else ()
    return Series(one.name, [one.points[number] for number in kept], spread)


def _frame(curves: Sequence[Series], *, log_x: bool, log_y: bool, from_zero: bool) -> _Frame:
    xs = [0.0] if from_zero else []
    xs += [x for one in curves for x, _ in one.points]
    ys = [y for one in curves for _, y in one.points]
    ys += [end for one in curves for ends in one.spread for end in ends if end > 0 or not log_y]
    lines = 0 if len(curves) <= _IN_TITLE else math.ceil(len(curves) / _a_line())
    top, height = _TOP + _KEY_HEIGHT * lines, _HEIGHT + _KEY_HEIGHT * lines
    return _Frame(
        _Axis(xs, (_LEFT, _WIDTH - _RIGHT), log=log_x, own=True),
        _Axis(ys, (height - _BOTTOM, top), log=log_y, round_low=True),
        top,
        height,
    )


def _a_line() -> int:
    return (_WIDTH - 8 - _RIGHT) // _KEY_WIDTH


def _axes(frame: _Frame, x_label: str, y_label: str) -> list[str]:
    parts = []
    base = frame.height - _BOTTOM
    for value in frame.y.ticks():
        y = frame.y.at(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{_number(value)}</text>')
    for value in frame.x.ticks():
        text = _number(value)
        # a long number at the end of the axis stays within the picture
        x = min(frame.x.at(value), _WIDTH - _LETTER * len(text) / 2)
        parts.append(f'<text x="{x}" y="{base + 18}" text-anchor="middle">{text}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    )
    parts.append(
        f'<text x="{middle}" y="{frame.height - 6}" text-anchor="middle">{html.escape(x_label)}</text>'
    )
    parts.append(f'<text x="8" y="16">{html.escape(y_label)}</text>')
    return parts


def _number(value: float) -> str:
    """Write the number of an axis: thousands apart, no more digits than tell it."""
    whole = value == round(value) and 1000 <= abs(value) < 1e6
    return f"{value:,.0f}" if whole else f"{value:g}"


def _key(number: int, name: str, count: int) -> list[str]:
    """Return the name of a curve and a piece of its line."""
    if count <= _IN_TITLE:
        left, y = _WIDTH - _RIGHT - 130 * (number + 1), 12
    else:
        line, column = divmod(number, _a_line())
        left, y = 8 + _KEY_WIDTH * column, 12 + _KEY_HEIGHT * (line + 1)
    return [
        f'<line {_look(number)} stroke-width="2" x1="{left}" x2="{left + 24}" y1="{y}" y2="{y}"/>'
        f'<text x="{left + 30}" y="{y + 4}">{html.escape(name)}</text>'
    ]


def _look(number: int) -> str:
    style = f"stroke:var(--curve-{number % _COLOURS + 1})"
    return f'style="{style}" stroke-dasharray="{_DASHES[number % len(_DASHES)]}"'


def _curve(frame: _Frame, number: int, one: Series) -> list[str]:
    """Draw one curve, its points where they are few, and how these spread."""
    places = [(frame.x.at(x), frame.y.at(y)) for x, y in one.points]
    colour = f"stroke:var(--curve-{number % _COLOURS + 1})"
    parts = []
    for (x, _), (low, high) in zip(places, one.spread, strict=False):
        ends = f'y1="{frame.y.at(max(low, frame.y.low))}" y2="{frame.y.at(high)}"'
        parts.append(f'<line class="spread" style="{colour}" x1="{x}" x2="{x}" {ends}/>')
    if len(places) <= _FEW:
        fill = colour.replace("stroke", "fill")
        parts += [f'<circle style="{fill}" cx="{x}" cy="{y}" r="3"/>' for x, y in places]
    if len(places) > 1:
        path = "L".join(f"{x} {y}" for x, y in places)
        parts.append(f'<path d="M{path}" {_look(number)}/>')
    return parts
