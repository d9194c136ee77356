"""Compile the kernels of the usual operations, which every later process then loads from disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from heedful.bench.operations import OPERATIONS
from heedful.bench.values import Operation, leaves, parameters
from heedful.ops.jit.kernel import compile_seconds


@dataclass(frozen=True, kw_only=True)
class Warmed:
    """One operation that was run forward and backward."""

    operation: str
    title: str
    kernels: int
    """Kernels that this process compiled or loaded for it."""
    seconds: float
    """Of all of it."""


def warm_up() -> Iterator[Warmed]:
    """Run our way of each operation of the benchmark once without gradients, and once with a backward pass."""
    for operation in OPERATIONS.values():
        yield warmed(operation.name, operation.title, partial(_run, operation))


def warmed(operation: str, title: str, run: Callable[[], object]) -> Warmed:
    """Run something, and return what it compiled."""
    before, start = len(compile_seconds()), time.monotonic()
    run()
    return Warmed(
        operation=operation,
        title=title,
        kernels=len(compile_seconds()) - before,
        seconds=time.monotonic() - start,
    )


def _run(operation: Operation) -> None:
    sizes = operation.case({})
    for contender in operation.contenders:
        if not contender.ours or contender.missing() is not None:
            continue
        inputs = parameters(operation.inputs(sizes))
        run = contender.build(sizes, inputs)
        with torch.no_grad():
            run()
        if contender.backward:
            torch.autograd.grad(run().sum(), leaves(inputs), allow_unused=True)
