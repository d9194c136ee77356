"""`heedful warmup`: compile the usual kernels ahead of their first use."""

from __future__ import annotations

from dataclasses import asdict

from heedful.cli.options import Json, Quiet
from heedful.cli.output import Output, duration


def warmup(json: Json = False, quiet: Quiet = False) -> None:
    """Compile the kernels of the usual operations, and keep them on disk.

    The first use of a kernel compiles it, which takes seconds; every later process loads it. Run this once when
    building an image or setting up a class room. Run again, it takes the time of the operations alone.

    Example:
        heedful warmup
    """
    from heedful.bench.warmup import warm_up

    output = Output(json=json, quiet=quiet)
    warmed = []
    for each in warm_up():
        warmed.append(each)
        output.say(f"{each.operation}: {each.kernels} kernels, {duration(each.seconds)}")
    seconds = sum(each.seconds for each in warmed)
    output.say(f"{sum(each.kernels for each in warmed)} kernels are on disk; {duration(seconds)}")
    output.result({"seconds": seconds, "operations": [asdict(each) for each in warmed]})
