"""`heedful warmup`: compile the usual kernels ahead of their first use."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heedful.cli.options import Json, Quiet
from heedful.cli.output import Output, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.bench.warmup import Warmed

TRANSLATOR: Final[dict[str, Any]] = {
    "model": {"kind": "transformer", "width": 64, "heads": 4, "feed_forward": 64},
    "vocabulary": {"kind": "word", "min_frequency": 1},
    "training": {"epochs": 1, "keep_freed_memory": False},
    "decoding": {"max_length_ratio": 1.0},
}
"""A small one; kernels are those of any size."""


def warmup(json: Json = False, quiet: Quiet = False) -> None:
    """Compile the kernels of the usual operations, and keep them on disk.

    The first use of a kernel compiles it, which takes seconds; every later process loads it. Run this once when
    building an image or setting up a class room. Run again, it takes the time of the operations alone.

    Example:
        heedful warmup
    """
    output = Output(json=json, quiet=quiet)
    found = []
    for each in _warm_up():
        found.append(each)
        output.say(f"{each.operation}: {each.kernels} kernels, {duration(each.seconds)}")
    seconds = sum(each.seconds for each in found)
    output.say(f"{sum(each.kernels for each in found)} kernels are on disk; {duration(seconds)}")
    output.result({"seconds": seconds, "operations": [asdict(each) for each in found]})


def _warm_up() -> Iterator[Warmed]:
    from heedful.bench.warmup import warm_up, warmed

    yield from warm_up()
    yield warmed(
        "translator", "training and searches of a Transformer translator", _train_translator
    )


def _train_translator() -> None:
    """Train a small Transformer translator for a few steps, and translate with it."""
    from heedful.api import train

    pairs = [{"source": f"a b c d {n} e f g", "target": f"g f e {n} d c b a"} for n in range(400)]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        model = train("translate", train=pairs[9:], valid=pairs[:9], out=run, **TRANSLATOR)
        for beam in (1, 5):
            model.predict([pairs[0]["source"]], beam=beam)
