"""The figures that were wanted, and what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heedful.bench.operations import OPERATIONS
from heedful.bench.results import Mode, Ratio, Result, growth

SERVED = ("dot", "dot-causal", "dot-padded")
MODES: tuple[tuple[Mode, str], ...] = (("forward", "forward"), ("both", "forward+backward"))
LONG_CALL = 1e-3
"""From here on `attend` may cost a share of the call, below it a fixed time."""


@dataclass(frozen=True)
class Wanted:
    """At least so many times as fast as another contender at one length."""

    operation: str
    length: int
    against: str
    mode: Mode
    times: float
    ours: str = "heedful"

    @property
    def what(self) -> str:
        """The claim in words."""
        passes = dict(MODES)[self.mode]
        named = "" if self.ours == "heedful" else f" ({self.ours.removeprefix('heedful, ')})"
        axis = OPERATIONS[self.operation].axis
        return f"{OPERATIONS[self.operation].title}{named}, {axis} {self.length:,}: {passes} against {self.against}"


_ONCE, _RAW = "heedful, edges made once", "heedful, from edge_index"
WANTED = (
    Wanted("additive", 256, "textbook", "forward", 60),
    Wanted("additive", 256, "textbook", "both", 30),
    Wanted("additive", 256, "torch.compile", "forward", 8),
    Wanted("window", 4096, "SDPA, dense mask", "forward", 9),
    Wanted("window", 4096, "SDPA, dense mask", "both", 7),
    Wanted("window", 4096, "local-attention", "forward", 1),
    Wanted("window", 4096, "local-attention", "both", 1),
    Wanted("window", 4096, "FlexAttention, compiled", "forward", 1),
    Wanted("gatv2", 100_000, "PyG GATv2Conv", "both", 6, _ONCE),
    Wanted("gatv2", 100_000, "PyG GATv2Conv", "both", 3, _RAW),
    Wanted("sparsemax", 512, "entmax package", "both", 1),
    Wanted("entmax", 512, "entmax package", "both", 1),
    Wanted("bahdanau-decoder", 16, "GRUCell loop", "both", 2),
    Wanted("bahdanau-training", 16, "GRUCell loop", "both", 2),
)


@dataclass(frozen=True)
class Line:
    """One line of the table: what was wanted, what was measured, whether it holds (None: not measured)."""

    what: str
    threads: int
    wanted: str
    measured: str
    holds: bool | None


def lines(results: Sequence[Result]) -> list[Line]:
    """Return every wanted figure beside the measured one, for each number of threads that was measured."""
    found: list[Line] = []
    measured = {one.operation for one in results}
    for threads in sorted({one.threads for one in results}):
        own = [one for one in results if one.threads == threads]
        found += [_line(wanted, threads, own) for wanted in WANTED if wanted.operation in measured]
        found += _kept(threads, own)
        found += _linear(threads, own)
        found += _overhead(threads, own)
    return found


def _line(wanted: Wanted, threads: int, results: Iterable[Result]) -> Line:
    ratio = next(
        (
            one.ratio(wanted.mode, wanted.ours)
            for one in results
            if (one.operation, one.contender) == (wanted.operation, wanted.against)
            and length_of(one) == wanted.length
        ),
        None,
    )
    goal = f"≥ {wanted.times:g}×" if wanted.times > 1 else "ahead"
    if ratio is None:
        return Line(wanted.what, threads, goal, "not measured", None)
    return Line(wanted.what, threads, goal, times(ratio), ratio.median >= wanted.times)


def times(ratio: Ratio) -> str:
    """Write a ratio with its quartiles.

    >>> times(Ratio(61.23, 58.9, 64.1))
    '61.2× (58.9–64.1)'
    """
    return f"{ratio.median:.3g}× ({ratio.low:.3g}–{ratio.high:.3g})"


def length_of(result: Result) -> int:
    """The size that a scan changes."""
    return result.sizes[OPERATIONS[result.operation].scans[0]]


def _ours(results: Iterable[Result], operation: str) -> list[Result]:
    return [
        one
        for one in results
        if one.operation == operation and one.ours and one.status == "measured" and one.memory
    ]


def _kept(threads: int, results: Sequence[Result]) -> list[Line]:
    """Bytes kept by additive attention grow as the queries, not as queries times keys."""
    points = [
        (float(length_of(one)), float(one.memory.kept))
        for one in _ours(results, "additive")
        if one.memory and one.memory.kept
    ]
    power = growth(points)
    if power is None:
        return []
    what = "Additive attention: bytes kept for backward, as queries and keys grow"
    return [Line(what, threads, "n^1", f"n^{power:.2f}", power < 1.1)]


def _linear(threads: int, results: Sequence[Result]) -> list[Line]:
    """Windowed attention takes time in proportion to its length."""
    found = []
    for mode, name in MODES:
        points = [
            (float(length_of(one)), timing.median)
            for one in _ours(results, "window")
            if (timing := one.timing(mode))
        ]
        power = growth(points)
        if power is not None:
            longest = max(length for length, _ in points)
            what = f"Windowed attention, {name} time up to length {longest:,.0f}"
            found.append(Line(what, threads, "n^1", f"n^{power:.2f}", power < 1.15))
    return found


def _overhead(threads: int, results: Sequence[Result]) -> list[Line]:
    """The worst of what `attend` costs over SDPA called directly."""
    long: list[tuple[float, str]] = []
    short: list[tuple[float, str]] = []
    for one in results:
        if one.operation not in SERVED or one.contender != "SDPA":
            continue
        for mode, passes in MODES:
            timing, ratio = one.timing(mode), one.ratio(mode)
            if timing is None or ratio is None:
                continue
            share = 1 / ratio.median - 1
            place = f"{one.operation}, length {length_of(one):,}, {passes}"
            if timing.median >= LONG_CALL:
                long.append((share, place))
            else:
                short.append((timing.median * share, place))
    found = []
    if long:
        share, place = max(long)
        what = "`attend` over SDPA where SDPA takes 1 ms or more, the worst case"
        found.append(Line(what, threads, "≤ 3 %", f"{100 * share:.1f} % ({place})", share <= 0.03))
    if short:
        extra, place = max(short)
        what = "`attend` over SDPA below 1 ms, the worst case"
        text = f"{1e6 * extra:.1f} µs ({place})"
        found.append(Line(what, threads, "≤ 15 µs", text, extra <= 15e-6))
    return found
