"""Where operations stand below what this machine can do, and how far more cores would help.

python -m benchmarks.roofline [--seconds S] [--clock] [--memory GB/S] [--vectors avx2]
    [--out FILE.svg]

Measures the arithmetic peak (multiply-adds of a product tile in the first cache) and the bandwidth of memory (reading
what no cache holds), then each operation's forward pass, in turn, on one core and on two. An operation of intensity I,
floating-point operations for each byte that has to come from memory or go there, cannot be faster than the lesser of
the peak and I times the bandwidth. Counted are multiply-adds as two, and the pair functions as `heedful.plan` counts
them; exponentials are not. Bytes are inputs and output once; of graphs, the rows of every edge, which lie scattered.

The model for more cores assumes that work divides as it did between two cores, that each core has the same speed, and
that bandwidth goes on saturating as it did from one core to two:

    t(n) = max(t(1) · (s + (1 − s) / n), bytes / b(n)),  s = 2 t(2) / t(1) − 1,
    b(n) = n b(1) / (1 + c (n − 1)),  c = 2 b(1) / b(2) − 1, at most 1; no more than --memory.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time

import torch

from benchmarks.page import table
from benchmarks.vectors import LIMITS, restart_limited
from heedful import attend, masks, normalizers, scores
from heedful.bench.machine import describe
from heedful.ops.backends.band.window import Band
from heedful.ops.jit.kernel import kernel, launch, load, product_tile, splat, store
from heedful.ops.jit.source import LANES
from heedful.plots import (
    COLOURS,
    INK,
    MARKERS,
    Curve,
    draw_curves,
    house_style,
    label_curves,
    new_figure,
    save,
)

Run = Callable[[], object]
DEPTH, TILES = 128, 20_000
"""Inner size of the product tile whose operands stay in the first cache, and how many of them are timed together."""
READ_FLOATS = 2**26
"""Numbers that are read to measure bandwidth: 256 MiB, more than the caches hold."""
WAITING = "OMP_WAIT_POLICY"
CORES = (8, 16, 32, 64)


@kernel(no_refcount=True)
def multiply_in_cache(part, parts, left, right, result, count):  # type: ignore[no-untyped-def]
    """`count` product tiles of the same small matrices, the rows of a part its own."""
    for _ in range(count):
        product_tile((left, 0, 128, 1), (right, 0, 32), (result, part * 256, 32), 128, 8, False)


@kernel(no_refcount=True)
def read_all(part, parts, source, sums):  # type: ignore[no-untyped-def]
    """Add up one part's share of an array."""
    share = len(source) // parts // 64 * 64
    zero = splat(source.dtype.type(0))
    first, second, third, fourth = zero, zero, zero, zero
    for i in range(part * share, (part + 1) * share, 64):
        first = first + load(source, i)
        second = second + load(source, i + 16)
        third = third + load(source, i + 32)
        fourth = fourth + load(source, i + 48)
    store(sums, part * 16, first + second + third + fourth)


@dataclass(frozen=True)
class Work:
    """An operation, what it computes and what it has to move."""

    run: Run
    flops: float
    bytes: float


@dataclass(frozen=True)
class Machine:
    """What one core and two can do."""

    peak: float
    """Floating-point operations a second of one core."""
    one: float
    two: float
    """Bytes a second of one core and of two."""
    most: float = float("inf")
    """Bytes a second that the memory gives to all cores together, where that is known."""

    def roof(self, intensity: float) -> float:
        """The most operations a second of one core at an intensity.

        >>> Machine(100.0, 10.0, 15.0).roof(4.0), Machine(100.0, 10.0, 15.0).roof(40.0)
        (40.0, 100.0)
        """
        return min(self.peak, self.one * intensity)

    def bandwidth(self, cores: int) -> float:
        """Bytes a second of so many cores, as the model has it.

        >>> machine = Machine(100.0, 10.0, 16.0)
        >>> machine.bandwidth(1), machine.bandwidth(2), machine.bandwidth(10**6) <= 40.0
        (10.0, 16.0, True)
        """
        crowding = min(1.0, max(0.0, 2 * self.one / self.two - 1))
        return min(self.most, cores * self.one / (1 + crowding * (cores - 1)))


@dataclass(frozen=True)
class Point:
    """What was measured of one operation."""

    name: str
    flops: float
    bytes: float
    one: float
    two: float
    """Seconds on one core and on two."""

    @property
    def intensity(self) -> float:
        return self.flops / self.bytes

    @property
    def rate(self) -> float:
        """Operations a second of one core."""
        return self.flops / self.one

    @property
    def serial(self) -> float:
        """Share of the time that a second core did not shorten.

        >>> Point("a", 1.0, 1.0, one=2.0, two=1.0).serial, Point("a", 1.0, 1.0, one=2.0, two=2.5).serial
        (0.0, 1.0)
        """
        return min(1.0, max(0.0, 2 * self.two / self.one - 1))

    def efficiency(self, cores: int, machine: Machine) -> float:
        """t(1) / (n t(n)) by the model.

        >>> Point("a", 1.0, 1.0, one=2.0, two=1.0).efficiency(8, Machine(1.0, 100.0, 200.0))
        1.0
        >>> round(Point("a", 1.0, 1.0, one=2.0, two=1.1).efficiency(8, Machine(1.0, 100.0, 200.0)), 3)
        0.588
        """
        divided = self.one * (self.serial + (1 - self.serial) / cores)
        seconds = max(divided, self.bytes / machine.bandwidth(cores))
        return self.one / (cores * seconds)


def operations() -> dict[str, Work]:
    """The operations, with fixed inputs."""
    torch.manual_seed(0)
    heads, length, features, window = 4, 4096, 64, 128
    near = masks.Window(window, window)
    query, key, value = (torch.randn(1, heads, length, features) for _ in range(3))
    pairs = heads * Band(window, window, length, length).cells
    windowed = 4.0 * pairs * features
    moved = 4.0 * 4 * query.numel()
    short = [tensor[:, :, :1024].contiguous() for tensor in (query, key, value)]
    hidden, size = 128, 256
    maps = (torch.randn(hidden, hidden) / 11, torch.randn(hidden, hidden) / 11, torch.randn(hidden))
    additive = scores.Additive(*maps)
    tokens = [torch.randn(1, size, hidden) for _ in range(3)]
    mapped = 2 * 2.0 * size * hidden * hidden
    nodes, edges = 200_000, 1_000_000
    index = torch.randint(nodes, (2, edges))
    graph = masks.Edges(index, nodes, nodes)
    vertices = [torch.randn(nodes, features) for _ in range(3)]
    sparse = normalizers.Sparsemax()
    return {
        "plain, length 1,024": Work(
            lambda: attend(*short), 4.0 * heads * 1024**2 * features, moved / 4
        ),
        "window ±128": Work(lambda: attend(query, key, value, mask=near), windowed, moved),
        "window ±128, sparsemax": Work(
            lambda: attend(query, key, value, mask=near, normalizer=sparse), windowed, moved
        ),
        "additive, 256 × 256": Work(
            lambda: attend(*tokens, score=additive),
            size * size * (4.0 * hidden + 2.0 * hidden) + mapped,
            4.0 * 4 * size * hidden + 8.0 * hidden**2,
        ),
        "a million edges": Work(
            lambda: attend(*vertices, mask=graph),
            4.0 * edges * features,
            4.0 * (2 * edges * features + 2 * nodes * features) + 8.0 * edges,
        ),
    }


def probes() -> tuple[dict[str, Work], torch.Tensor]:
    """The kernels that measure the machine, and what they read."""
    left, right, result = torch.rand(8 * DEPTH), torch.rand(DEPTH * 32), torch.zeros(2 * 256)
    source, sums = torch.ones(READ_FLOATS), torch.zeros(2 * LANES)

    def multiply() -> None:
        result.zero_()
        parts = torch.get_num_threads()
        launch(multiply_in_cache, left, right, result, TILES, work=1e6 * TILES, parts=parts)

    def read() -> None:
        launch(read_all, source, sums, work=1e9, parts=torch.get_num_threads())

    return {
        "peak": Work(multiply, 2.0 * 8 * 32 * DEPTH * TILES, 0.0),
        "bandwidth": Work(read, 0.0, 4.0 * READ_FLOATS),
    }, sums


def measure(
    works: Mapping[str, Work], seconds: float, *, by_clock: bool
) -> dict[str, tuple[float, float]]:
    """Seconds of each on one core and on two, in turn; the fastest round counts.

    Other programs only lengthen a time. On one core it is the processor's; on two half of what both took together, so
    that waiting for a core that another program holds does not count, or the clock's.
    """
    taken: dict[tuple[str, int], list[float]] = {(name, n): [] for name in works for n in (1, 2)}
    before = torch.get_num_threads()
    began, rounds = perf_counter(), 0
    try:
        while rounds < 5 or perf_counter() - began < seconds:
            for (name, threads), times in taken.items():
                torch.set_num_threads(threads)
                works[name].run()  # finds code and data in the caches, as a repeated call does
                now = perf_counter if by_clock else process_time
                start = now()
                works[name].run()
                times.append((now() - start) / (1 if by_clock else threads))
            rounds += 1
    finally:
        torch.set_num_threads(before)
    best = {key: min(times) for key, times in taken.items()}
    return {name: (best[name, 1], best[name, 2]) for name in works}


def measured(seconds: float, *, by_clock: bool) -> tuple[Machine, list[Point]]:
    """Measure machine and operations."""
    works, _ = probes()
    found = measure({**works, **operations()}, seconds, by_clock=by_clock)
    one, two = (works["bandwidth"].bytes / time for time in found["bandwidth"])
    machine = Machine(works["peak"].flops / found["peak"][0], one, two)
    points = [
        Point(name, work.flops, work.bytes, *found[name]) for name, work in operations().items()
    ]
    return machine, points


def report(machine: Machine, points: Sequence[Point]) -> list[str]:
    """The tables, in Markdown."""
    rates = [["operation, one core", "FLOP/byte", "GFLOP/s", "roof", "of the roof"]]
    model = [["operation", "two cores", *(f"{n} cores" for n in CORES)]]
    for point in points:
        roof = machine.roof(point.intensity)
        rates.append([
            point.name, f"{point.intensity:.3g}", f"{point.rate / 1e9:.3g}", f"{roof / 1e9:.3g}",
            f"{100 * point.rate / roof:.0f} %",
        ])  # fmt: skip
        model.append([
            point.name, f"{100 * point.one / (2 * point.two):.0f} % measured",
            *(f"{100 * point.efficiency(n, machine):.0f} %" for n in CORES),
        ])  # fmt: skip
    reach = ", ".join(f"{n}: {machine.bandwidth(n) / 1e9:.0f}" for n in CORES)
    return [
        f"Peak of one core {machine.peak / 1e9:.0f} GFLOP/s; memory {machine.one / 1e9:.1f} GB/s on one core, "
        f"{machine.two / 1e9:.1f} on two; by the model GB/s on {reach}.",
        table(rates),
        table(model),
    ]


def draw(machine: Machine, points: Sequence[Point], path: Path, title: str) -> None:
    """Draw roof and operations over intensity and save the picture."""
    from matplotlib.ticker import FuncFormatter

    ends = [0.1, *(point.intensity for point in points), machine.peak / machine.one]
    low, high = min(ends) / 2, max(ends) * 3
    xs = sorted({low, machine.peak / machine.one, high})
    roof = Curve(
        name=f"roof: {machine.peak / 1e9:.0f} GFLOP/s, {machine.one / 1e9:.0f} GB/s",
        xs=xs, ys=[machine.roof(x) / 1e9 for x in xs], colour=INK, marker="",
    )  # fmt: skip
    curves = [
        Curve(
            name=f"{point.name}: {point.rate / 1e9:.3g}", xs=[point.intensity], ys=[point.rate / 1e9],
            colour=COLOURS[place], marker=MARKERS[place], strong=True,
        )
        for place, point in enumerate(points)
    ]  # fmt: skip
    with house_style():
        figure, [axes] = new_figure([3.4], title)
        draw_curves(axes, [roof, *curves])
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
        axes.set_xlabel("floating-point operations a byte of memory")
        axes.set_title("GFLOP/s, one core, forward")
        label_curves(figure, [(axes, [roof, *curves])])
        save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.roofline", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for all rounds together")
    parser.add_argument("--out", type=Path, help="draw the picture into this .svg or .png file")
    parser.add_argument(
        "--clock",
        action="store_true",
        help="the clock's time instead of the processor's: on a machine that has nothing else to do",
    )
    parser.add_argument(
        "--memory",
        type=float,
        default=float("inf"),
        metavar="GB/S",
        help="what memory gives to all cores together, where it is known",
    )
    parser.add_argument(
        "--vectors", choices=LIMITS, help="measure as on a processor with no wider vectors"
    )
    options = parser.parse_args()
    if options.vectors:
        restart_limited("benchmarks.roofline", sys.argv[1:], options.vectors)
    if WAITING not in os.environ:
        # Threads that wait shall sleep: what they take of the processor would count as work.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "benchmarks.roofline", *sys.argv[1:]],
            {**os.environ, WAITING: "passive"},
        )
    machine, points = measured(options.seconds, by_clock=options.clock)
    machine = replace(machine, most=1e9 * options.memory)
    print(f"{describe()['processor']}; load {os.getloadavg()[0]:.1f}\n")
    print("\n\n".join(report(machine, points)))
    if options.out:
        draw(machine, points, options.out, "What one core reaches, below what it could")


if __name__ == "__main__":
    main()
