"""Numbers of measurements as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.bench.operations import OPERATIONS
from heedful.bench.results import Mode, Ratio, Result, Timing, growth

HEADER = (
    "contender", "forward", "×", "forward+backward", "×", "kept for backward", "peak", "first call",
)  # fmt: skip


def seconds(value: float) -> str:
    """Write a duration with three figures.

    >>> seconds(0.0000123), seconds(0.0456), seconds(7.891)
    ('12.3 µs', '45.6 ms', '7.89 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            return f"{figures(value / size)} {unit}"
    raise AssertionError


def figures(value: float) -> str:
    """Write a number with three figures and no exponent.

    >>> figures(0.98765), figures(12.345), figures(1234.5)
    ('0.988', '12.3', '1,234')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def size(count: int | None) -> str:
    """Write bytes with three figures.

    >>> size(12), size(2_500_000), size(None)
    ('12 B', '2.38 MiB', '–')
    """
    if count is None:
        return "–"
    value, units = float(count), ["B", "KiB", "MiB", "GiB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{count} B" if units[0] == "B" else f"{figures(value)} {units[0]}"


def timing(one: Timing | None) -> str:
    """Write a median with its quartiles.

    >>> timing(Timing(0.002, 0.0019, 0.0023, 9))
    '2.00 ms (1.90–2.30)'
    """
    if one is None:
        return "–"
    text = seconds(one.median)
    scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[text.split()[1]]
    return f"{text} ({figures(one.low * scale)}–{figures(one.high * scale)})"


def ratio(one: Ratio | None) -> str:
    """Write how many times as long as ours."""
    return "" if one is None else figures(one.median)


def row(result: Result) -> list[str]:
    """One measured contender as the cells under `HEADER`."""
    memory = result.memory
    assert memory is not None
    return [
        result.contender,
        timing(result.forward),
        ratio(result.ratio("forward")),
        timing(result.both),
        ratio(result.ratio("both")),
        size(memory.kept),
        size(memory.peak_forward if memory.peak_both is None else memory.peak_both),
        "–" if result.first_seconds is None else seconds(result.first_seconds),
    ]


def table(results: Sequence[Result]) -> list[list[str]]:
    """The measured contenders of one case as rows under a header."""
    return [list(HEADER), *(row(one) for one in results if one.status == "measured")]


def without_speed(results: Sequence[Result]) -> list[str]:
    """A sentence for each contender that has no speed, with the reason."""
    return [
        f"{one.contender}: {one.reason}"
        if one.status == "not installed"
        else f"{one.contender}: {one.status}: {one.reason}"
        for one in results
        if one.status != "measured"
    ]


def operation_title(results: Sequence[Result]) -> str:
    """Name the operation and the threads that results share."""
    first = results[0]
    threads = "1 thread" if first.threads == 1 else f"{first.threads} threads"
    return f"{OPERATIONS[first.operation].title}, {threads}"


def case_title(results: Sequence[Result]) -> str:
    """Name the sizes that results share."""
    return ", ".join(f"{name} {count:,}" for name, count in results[0].sizes.items())


def growths(results: Sequence[Result]) -> list[list[str]]:
    """Rows of operation, contender and the exponents with which its times grow, where there are lengths enough."""
    rows = []
    names = dict.fromkeys((one.operation, one.contender) for one in results)
    for operation, contender in names:
        own = [one for one in results if (one.operation, one.contender) == (operation, contender)]
        powers = [_power(own, mode) for mode in ("forward", "both")]
        if any(powers):
            rows.append([operation, contender, *powers])
    return rows


def _power(results: Sequence[Result], mode: Mode) -> str:
    axis = OPERATIONS[results[0].operation].scans[0]
    points = [
        (float(one.sizes[axis]), timed.median) for one in results if (timed := one.timing(mode))
    ]
    power = growth(points)
    return "" if power is None else f"n^{power:.2f}"
