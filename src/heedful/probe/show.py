"""Measurements as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.bench.results import growth
from heedful.bench.show import seconds
from heedful.probe.measures import MEASURES, Measure
from heedful.probe.results import Curve, Line, over_seeds


def table(curves: Sequence[Curve]) -> list[list[str]]:
    """Return the curves of one measure as rows under a header; "±" is half of what the seeds spread over.

    >>> [row[-1] for row in table([Curve("recall", "lstm", "", 0, ((7, 0.25),))])]
    ['7', '0.250']
    """
    measure = MEASURES[curves[0].measure]
    lines = over_seeds(curves)
    xs = sorted({x for line in lines for x in line.points})
    variants = any(line.variant for line in lines)
    grows = curves[0].measure == "time" and len(xs) > 2
    header = ["encoder", *(["variant"] if variants else []), *map(measure.name, xs)]
    rows = [header + (["grows as"] if grows else [])]
    for line in lines:
        cells = [_cell(measure, line, x) for x in xs]
        start = [line.encoder, *([line.variant] if variants else [])]
        rows.append([*start, *cells, *([_power(line)] if grows else [])])
    return rows


def _cell(measure: Measure, line: Line, x: float) -> str:
    if x not in line.points:
        return "–"
    mean, low, high = line.points[x]
    if measure.form == "seconds":
        return seconds(mean)
    spread = f" ±{(high - low) / 2:{measure.form}}" if high > low else ""
    return f"{mean:{measure.form}}{spread}"


def exponent(line: Line) -> float | None:
    """Return p of seconds ~ length**p over the larger half of the lengths, or None below three of them."""
    return growth([(x, mean) for x, (mean, _, _) in line.points.items()])


def _power(line: Line) -> str:
    power = exponent(line)
    return "–" if power is None else f"n^{power:.2f}"
