"""How many first-party Python functions, in how many files, one call of `attend` enters once its signature is known.

python -m benchmarks.hops            a line a case: functions, files
python -m benchmarks.hops --where    the functions themselves

Each function entered costs about a tenth of a microsecond and, in a program that does other work between the calls, a
look into memory that is in no cache. What is entered inside compiled kernels and PyTorch is not counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch

import heedful
from heedful import attend, masks, scores

PACKAGE = str(Path(heedful.__file__).parent)


class Entered(NamedTuple):
    """What one call entered: (file, function) and how often."""

    functions: Counter[tuple[str, str]]

    @property
    def calls(self) -> int:
        return self.functions.total()

    @property
    def files(self) -> int:
        return len({file for file, _ in self.functions})


def cases() -> dict[str, Callable[[], object]]:
    """The calls that are counted, each with operands of its own."""
    torch.manual_seed(0)
    four = [torch.randn(2, 4, 96, 32) for _ in "qkv"]
    three = [torch.randn(8, 96, 32) for _ in "qkv"]
    five = [torch.randn(2, 2, 2, 96, 32) for _ in "qkv"]
    sequences = [torch.randn(3, 40, 32) for _ in "qkv"]
    additive = scores.Additive(torch.randn(32, 16), torch.randn(32, 16), torch.randn(16))
    window, padding = masks.Window(9, 4), masks.Padding(torch.tensor([50, 96]))
    short = masks.Padding(torch.tensor([40, 7, 21]))
    band = partial(attend, backend="band")
    return {
        "plain": partial(attend, *four),
        "causal": partial(attend, *four, mask=masks.Causal()),
        "padding": partial(attend, *four, mask=padding),
        "window, three axes": partial(band, *three, mask=window),
        "window, four axes": partial(band, *four, mask=window),
        "window, five axes": partial(band, *five, mask=window),
        "window & padding": partial(band, *four, mask=window & padding),
        "additive": partial(attend, *sequences, score=additive),
        "additive, padding": partial(attend, *sequences, score=additive, mask=short),
        "additive, causal": partial(attend, *sequences, score=additive, mask=masks.Causal()),
    }


def entered(call: Callable[[], object]) -> Entered:
    """Count what a call enters, after two calls that prepare what is prepared once."""
    call()
    call()
    found: Counter[tuple[str, str]] = Counter()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            code = frame.f_code
            found[code.co_filename[len(PACKAGE) + 1 :], code.co_qualname] += 1

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return Entered(found)


def main() -> None:
    for name, call in cases().items():
        one = entered(call)
        print(f"{name:22} {one.calls:4} functions {one.files:3} files")
        if "--where" in sys.argv[1:]:
            for (file, function), count in one.functions.items():
                print(f"    {count:3} {file}: {function}")


if __name__ == "__main__":
    main()
