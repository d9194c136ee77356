"""A line chart as inline SVG: for a loss curve nothing more is needed."""

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
_COLOURS: Final = 4
_DASHES: Final = ("", "7 4", "2 3", "9 3 2 3")
"""Curves differ by dash as well as by colour."""


@dataclass(frozen=True)
class Series:
    """One curve: its name and its (x, y) points."""

    name: str
    points: Sequence[tuple[float, float]]


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


class _Frame:
    """From data to the SVG's units."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self.low_x, self.high_x = _span([x for x, _ in points])
        low, self.high_y = _span([y for _, y in points])
        # An axis that nearly reaches 0 should start there; one far from it would waste the chart.
        self.low_y = 0.0 if 0 < low < 0.3 * self.high_y else low

    def x(self, value: float) -> float:
        part = (value - self.low_x) / (self.high_x - self.low_x)
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        part = (value - self.low_y) / (self.high_y - self.low_y)
        return round(_HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM), 1)


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def line_chart(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """Return the curves as an inline SVG with axes and a key; points that are not finite are left out.

    Raises:
        OptionError: no curve has a point.

    >>> line_chart([Series("loss", [(0, 2.0), (1, 1.0)])], "epoch", "loss").count("<path")
    1
    """
    curves = [
        (one.name, [(x, y) for x, y in one.points if math.isfinite(x) and math.isfinite(y)])
        for one in series
    ]
    points = [point for _, finite in curves for point in finite]
    if not points:
        raise OptionError(
            "a chart needs at least one finite point; leave the chart out of the report."
        )
    frame = _Frame(points)
    summary = "; ".join(
        f"{name} from {finite[0][1]:.4g} to {finite[-1][1]:.4g}"
        for name, finite in curves
        if finite
    )
    words = html.escape(f"{y_label} by {x_label}: {summary}")
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{words}">'
    ]
    parts += _axes(frame, x_label, y_label)
    for number, (name, finite) in enumerate(curves):
        parts += _curve(frame, number, name, finite)
    return "\n".join([*parts, "</svg>\n"])


def _axes(frame: _Frame, x_label: str, y_label: str) -> list[str]:
    parts = []
    base = _HEIGHT - _BOTTOM
    for value in ticks(frame.low_y, frame.high_y):
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    for value in ticks(frame.low_x, frame.high_x):
        x = frame.x(value)
        parts.append(f'<text x="{x}" y="{base + 18}" text-anchor="middle">{value:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    )
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>'
    )
    parts.append(f'<text x="8" y="16">{html.escape(y_label)}</text>')
    return parts


def _curve(
    frame: _Frame, number: int, name: str, points: Sequence[tuple[float, float]]
) -> list[str]:
    """One curve and its place in the key; a single point is drawn as a dot."""
    style = f"stroke:var(--curve-{number % _COLOURS + 1})"
    dash = f'style="{style}" stroke-dasharray="{_DASHES[number % len(_DASHES)]}"'
    left = _WIDTH - _RIGHT - 130 * (number + 1)
    key = (
        f'<line {dash} stroke-width="2" x1="{left}" x2="{left + 24}" y1="12" y2="12"/>'
        f'<text x="{left + 30}" y="16">{html.escape(name)}</text>'
    )
    if len(points) == 1:
        [(x, y)] = points
        return [key, f'<circle cx="{frame.x(x)}" cy="{frame.y(y)}" r="3" {dash} fill="none"/>']
    places = "L".join(f"{frame.x(x)} {frame.y(y)}" for x, y in points)
    return [key, f'<path d="M{places}" {dash}/>'] if points else [key]
