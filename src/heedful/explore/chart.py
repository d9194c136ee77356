"""Line charts as inline SVG, such as training curves: no plotting library is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heedful.errors import OptionError
from heedful.explore.tokens import html_text

WIDE: Final = 640
"""Width of a chart in SVG units."""
NARROW: Final = 340
"""Of one for a telephone, with letters of the same size."""
_HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 30, 44
_NUM_COLOURS: Final = 8
_DASHES: Final = ("", "7 4", "2 3", "9 3 2 3")
"""Dash patterns: curves differ by dash as well as by colour."""
_LETTER_WIDTH: Final = 7
"""Average width of a letter in SVG units."""
_INLINE_KEY, _AXIS_TITLE = 130, 240
"""Legend entries share the line of the axis title if there is so much room; else they get lines of their own."""
_LEGEND_WIDTH, _LEGEND_HEIGHT = 136, 18
_MAX_MARKED_POINTS: Final = 8
"""Up to so many points are also drawn as dots; on a logarithmic axis each gets its own tick."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One curve: its name, its (x, y) points, and optional error bars."""

    name: str
    points: Sequence[Point]
    spread: Sequence[Point] = ()
    """(lowest, highest) y of each point, or empty: no error bars."""


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round tick values from `low` to `high`.

    >>> ticks(0.0, 7.3)
    [0.0, 2.0, 4.0, 6.0]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


class _Axis:
    """Linear or logarithmic scale from data values to SVG coordinates.

    `ticks_at_values`: a logarithmic axis with few distinct values has its ticks at these values, if they have room.
    """

    def __init__(
        self,
        values: Sequence[float],
        ends: Point,
        *,
        log: bool,
        round_low: bool = False,
        ticks_at_values: bool = False,
    ):
        self.log, self.ends = log, ends
        low, high = min(values), max(values)
        distinct = sorted(set(values))
        room = abs(ends[1] - ends[0]) / _LETTER_WIDTH
        fit = (
            len(distinct) <= _MAX_MARKED_POINTS
            and sum(len(_tick_label(value)) + 1 for value in distinct) <= room
        )
        self.tick_values = distinct if ticks_at_values and log and fit else None
        low, high = (low, high) if high > low else _around(low, log=log)
        # Start at 0 only where the data come near it: otherwise most of the chart would be empty.
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
        if self.tick_values is not None:
            return self.tick_values
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)


def _around(value: float, *, log: bool) -> Point:
    return (value / 2, value * 2) if log else (value - 0.5, value + 0.5)


def log_ticks(low: float, high: float) -> list[float]:
    """Return round tick values from `low` to `high` for a logarithmic axis.

    >>> log_ticks(3, 700), log_ticks(8, 31)
    ([10.0, 100.0], [10.0, 20.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        values = [round(f * 10.0**power, 12) for power in powers for f in factors]
        values = [each for each in values if low <= each <= high]
        if len(values) > 1:
            return values
    return ticks(low, high)


@dataclass(frozen=True)
class _Frame:
    """Both axes, and the size of the chart in SVG units."""

    x: _Axis
    y: _Axis
    width: int
    height: int
    keys_per_line: int
    """Legend entries on a line; 0: all are on the line of the axis title."""


def line_chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    from_zero: bool = False,
    width: int = WIDE,
) -> str:
    """Return the curves as an inline SVG with axes and a legend; `from_zero` starts the horizontal axis at 0.

    Omits points that are not finite, and points at or below 0 on a logarithmic axis.

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
    frame = _frame(curves, width, log_x=log_x, log_y=log_y, from_zero=from_zero)
    summary = "; ".join(
        f"{one.name} from {one.points[0][1]:.4g} to {one.points[-1][1]:.4g}"
        for one in curves
        if one.points
    )
    words = html_text(f"{y_label} by {x_label}: {summary}")
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {frame.height}" role="img" aria-label="{words}">'
    ]
    parts += _axes(frame, x_label, y_label)
    # A curve has the style of its place among all, so that it looks the same in every chart of a page.
    drawn = [(number, one) for number, one in enumerate(curves) if one.points]
    for place, (number, one) in enumerate(drawn):
        parts += _legend_entry(frame, place, number, one.name)
        parts += _curve(frame, number, one)
    return "\n".join([*parts, "</svg>\n"])


def _drawable(one: Series, *, log_x: bool, log_y: bool) -> Series:
    """Return the series without the points that cannot be drawn."""
    drawable = [
        number
        for number, (x, y) in enumerate(one.points)
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)
    ]
    spread = [one.spread[number] for number in drawable] if one.spread else ()
    return Series(one.name, [one.points[number] for number in drawable], spread)


def _frame(
    curves: Sequence[Series], width: int, *, log_x: bool, log_y: bool, from_zero: bool
) -> _Frame:
    xs = [0.0] if from_zero else []
    xs += [x for one in curves for x, _ in one.points]
    ys = [y for one in curves for _, y in one.points]
    ys += [end for one in curves for ends in one.spread for end in ends if end > 0 or not log_y]
    count = sum(bool(one.points) for one in curves)
    is_inline = _AXIS_TITLE + _INLINE_KEY * count <= width
    keys = 0 if is_inline else (width - 8 - _RIGHT) // _LEGEND_WIDTH
    lines = math.ceil(count / keys) if keys else 0
    top, height = _TOP + _LEGEND_HEIGHT * lines, _HEIGHT + _LEGEND_HEIGHT * lines
    return _Frame(
        _Axis(xs, (_LEFT, width - _RIGHT), log=log_x, ticks_at_values=True),
        _Axis(ys, (height - _BOTTOM, top), log=log_y, round_low=True),
        width,
        height,
        keys,
    )


def _axes(frame: _Frame, x_label: str, y_label: str) -> list[str]:
    parts = []
    base, end = frame.height - _BOTTOM, frame.width - _RIGHT
    for value in frame.y.ticks():
        y = frame.y.at(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{_tick_label(value)}</text>'
        )
    for value in frame.x.ticks():
        text = _tick_label(value)
        # keeps a long number at the end of the axis inside the image
        x = min(frame.x.at(value), frame.width - _LETTER_WIDTH * len(text) / 2)
        parts.append(f'<text x="{x}" y="{base + 18}" text-anchor="middle">{text}</text>')
    middle = (_LEFT + end) / 2
    parts.append(f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{base}" y2="{base}"/>')
    parts.append(
        f'<text x="{middle}" y="{frame.height - 6}" text-anchor="middle">{html_text(x_label)}</text>'
    )
    parts.append(f'<text x="8" y="16">{html_text(y_label)}</text>')
    return parts


def _tick_label(value: float) -> str:
    """Format a tick: thousands separators, and as few digits as possible."""
    whole = value == round(value) and 1000 <= abs(value) < 1e6
    return f"{value:,.0f}" if whole else f"{value:g}"


def _legend_entry(frame: _Frame, place: int, number: int, name: str) -> list[str]:
    """Return the legend entry of a curve, the one at `place`: a piece of its line and its name."""
    if not frame.keys_per_line:
        left, y = frame.width - _RIGHT - _INLINE_KEY * (place + 1), 12
    else:
        line, column = divmod(place, frame.keys_per_line)
        left, y = 8 + _LEGEND_WIDTH * column, 12 + _LEGEND_HEIGHT * (line + 1)
    return [
        f'<line {_line_style(number)} stroke-width="2" x1="{left}" x2="{left + 24}" y1="{y}" y2="{y}"/>'
        f'<text x="{left + 30}" y="{y + 4}">{html_text(name)}</text>'
    ]


def _line_style(number: int) -> str:
    style = f"stroke:var(--curve-{number % _NUM_COLOURS + 1})"
    dash = _DASHES[(number + number // len(_DASHES)) % len(_DASHES)]  # near colours differ in it
    return f'style="{style}" stroke-dasharray="{dash}"'


def _curve(frame: _Frame, number: int, one: Series) -> list[str]:
    """Draw one curve, its error bars and, where they are few, its points."""
    places = [(frame.x.at(x), frame.y.at(y)) for x, y in one.points]
    colour = f"stroke:var(--curve-{number % _NUM_COLOURS + 1})"
    parts = []
    for (x, _), (low, high) in zip(places, one.spread, strict=False):
        ends = f'y1="{frame.y.at(max(low, frame.y.low))}" y2="{frame.y.at(high)}"'
        parts.append(f'<line class="spread" style="{colour}" x1="{x}" x2="{x}" {ends}/>')
    if len(places) <= _MAX_MARKED_POINTS:
        fill = colour.replace("stroke", "fill")
        parts += [f'<circle style="{fill}" cx="{x}" cy="{y}" r="3"/>' for x, y in places]
    if len(places) > 1:
        path = "L".join(f"{x} {y}" for x, y in places)
        parts.append(f'<path d="M{path}" {_line_style(number)}/>')
    return parts
