"""`python -m benchmarks.grid_windows`: attention in a square of cells, by each way to compute it, on one core."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from heedful import attend, masks, plan
from heedful.bench.machine import describe
from heedful.ops.grid import Grid


def seconds(run: Callable[[], Tensor], repeats: int) -> float:
    """Return the median processor seconds of a call, after two that are not counted."""
    times = []
    for number in range(repeats + 2):
        start = time.thread_time()
        run()
        if number > 1:
            times.append(time.thread_time() - start)
    return statistics.median(times)


def measure(side: int, radius: int, repeats: int) -> dict[str, float]:
    """Return the seconds of each way for a batch of 4, 4 heads of 32 features."""
    torch.manual_seed(0)
    grid = Grid(side, side)
    x = torch.randn(4, 4, grid.length, 32)
    window = masks.GridWindow(grid, radius)
    query, key = window.dense(grid.length, grid.length).nonzero(as_tuple=True)
    edges = masks.Edges(torch.stack([key, query]), grid.length, grid.length)
    ways: dict[str, Callable[[], Tensor]] = {
        "without a mask": lambda: attend(x, x, x).output,
        "edges": lambda: attend(x, x, x, mask=edges).output,
    }
    for backend in ("auto", "reference", "chunked", "sdpa", "band"):
        ways[backend] = lambda backend=backend: attend(x, x, x, mask=window, backend=backend).output  # type: ignore[misc]
    expected = ways["reference"]()
    for name, run in ways.items():
        if name != "without a mask":
            torch.testing.assert_close(run(), expected, rtol=1e-4, atol=1e-4)
    found = {name: seconds(run, repeats) for name, run in ways.items()}
    print(f"{side} × {side}, radius {radius}; auto is {plan(x, x, x, mask=window).backend}")
    for name, each in sorted(found.items(), key=lambda pair: pair[1]):
        print(f"  {name:16} {1000 * each:8.2f} ms", flush=True)
    return found


def main() -> None:
    """Measure several grids."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid_windows", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[14, 28, 48])
    parser.add_argument("--radius", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    with torch.inference_mode():
        for side in options.sides:
            measure(side, options.radius, options.repeats)


if __name__ == "__main__":
    main()
