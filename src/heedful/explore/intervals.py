"""Interval plots as inline SVG: one line per name, with its value, interval and single values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from heedful.errors import OptionError
from heedful.explore.chart import NARROW, WIDE, ticks
from heedful.explore.tokens import html_text

_RIGHT, _TOP, _BOTTOM, _LINE_HEIGHT = 16, 10, 42, 26
_LETTER_WIDTH: Final = 7
"""Average width of a letter in SVG units."""
_MAX_NAME_LENGTH: Final = 28
_SHORT_NAME_LENGTH: Final = 16
"""Of a name in a chart for a telephone."""


@dataclass(frozen=True)
class Interval:
    """A value, its interval, and the single values (`marks`) whose mean it is."""

    name: str
    value: float
    low: float
    high: float
    marks: Sequence[float] = ()


def interval_chart(
    intervals: Sequence[Interval],
    x_label: str,
    *,
    zero: bool = False,
    form: str = ".3g",
    width: int = WIDE,
) -> str:
    """Return an SVG with a line for each interval, a dot for its value and small rings for its marks.

    Args:
        intervals: drawn from top to bottom.
        x_label: title of the horizontal axis.
        zero: draw a vertical line at 0.
        form: format specification of the numbers in the alternative text.
        width: in SVG units.

    Raises:
        OptionError: there are no intervals.

    >>> interval_chart([Interval("lstm", 0.9, 0.85, 0.95, [0.88, 0.92])], "accuracy").count("<circle")
    3
    """
    if not intervals:
        raise OptionError("a chart needs at least one interval; leave the chart out of the report.")
    ends = [v for each in intervals for v in (each.value, each.low, each.high, *each.marks)]
    low, high = min([*ends, *([0.0] if zero else [])]), max([*ends, *([0.0] if zero else [])])
    room = 0.04 * (high - low) or 0.5
    low, high = low - room, high + room
    letters = _SHORT_NAME_LENGTH if width <= NARROW else _MAX_NAME_LENGTH
    letters = min(letters, max(len(each.name) for each in intervals))
    left = 16 + _LETTER_WIDTH * letters
    height = _TOP + _LINE_HEIGHT * len(intervals) + _BOTTOM

    def at(value: float) -> float:
        return round(left + (value - low) / (high - low) * (width - _RIGHT - left), 1)

    summary = "; ".join(
        f"{e.name} {format_number(e.value, form)} ({format_number(e.low, form)} to {format_number(e.high, form)})"
        for e in intervals
    )
    words = html_text(f"{x_label}: {summary}")
    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{words}">']
    base = height - _BOTTOM
    for value in ticks(low, high, 6 if width > NARROW else 3):
        x = at(value)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{base}"/>')
        parts.append(f'<text x="{x}" y="{base + 17}" text-anchor="middle">{value:g}</text>')
    if zero:
        parts.append(f'<line class="zero" x1="{at(0)}" x2="{at(0)}" y1="{_TOP}" y2="{base}"/>')
    for number, each in enumerate(intervals):
        parts += _line(each, _TOP + _LINE_HEIGHT * number + _LINE_HEIGHT // 2, left, letters, at)
    middle = (left + width - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{height - 6}" text-anchor="middle">{html_text(x_label)}</text>'
    )
    return "\n".join([*parts, "</svg>\n"])


def format_number(value: float, form: str) -> str:
    """Format a number, without a sign where it rounds to 0.

    >>> format_number(-0.3, "+.1f"), format_number(-0.03, "+.1f")
    ('-0.3', '0.0')
    """
    text = f"{value:{form}}"
    return text if text.strip("+-0.") else text.lstrip("+-")


def _line(
    each: Interval, y: int, left: int, letters: int, at: Callable[[float], float]
) -> list[str]:
    name = each.name if len(each.name) <= letters else each.name[: letters - 1] + "…"
    parts = [
        f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{html_text(name)}</text>',
        f'<line class="interval" x1="{at(each.low)}" x2="{at(each.high)}" y1="{y}" y2="{y}"/>',
    ]
    parts += [f'<circle class="mark" cx="{at(value)}" cy="{y}" r="3"/>' for value in each.marks]
    return [*parts, f'<circle class="value" cx="{at(each.value)}" cy="{y}" r="4.5"/>']
