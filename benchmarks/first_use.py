"""CPU seconds of the first use of each operation, when none of its kernels is on disk.

python -m benchmarks.first_use [OPERATION ...] [--kernels]

Each operation runs in a process of its own with an empty cache, on one thread: once without gradients, then once
forward and backward. Compiling, importing the compiler and the computation itself count; importing heedful and
PyTorch, and making the inputs, do not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from heedful.bench.operations import OPERATIONS
from heedful.bench.values import leaves, parameters
from heedful.errors import HeedfulError, RunError, unknown_choice
from heedful.ops.jit import cache
from heedful.ops.jit.kernel import compile_seconds

MOST_SECONDS = 5.0
"""What the first use of an operation may take, forward or backward."""
INSIDE = "--in-this-process"


@dataclass(frozen=True)
class FirstUse:
    """CPU seconds of one operation, and what its kernels took of them."""

    forward: float
    backward: float | None
    """None for an operation without a backward pass."""
    kernels: Mapping[str, float]


def first_use(name: str, folder: Path) -> FirstUse:
    """Run an operation for the first time in this process; kernels are kept in an empty folder."""
    cache._bases = lambda: (folder,)  # type: ignore[assignment]  # not the folders of this machine
    operation = OPERATIONS[name]
    contender = next(one for one in operation.contenders if one.ours)
    sizes = operation.case({})
    inputs = parameters(operation.inputs(sizes))
    run = contender.build(sizes, inputs)
    start = time.process_time()
    with torch.no_grad():
        run()
    middle = time.process_time()
    if contender.backward:
        torch.autograd.grad(run().sum(), leaves(inputs), allow_unused=True)
    end = time.process_time()
    backward = end - middle if contender.backward else None
    return FirstUse(middle - start, backward, compile_seconds())


def measured(name: str) -> FirstUse:
    """Measure an operation in a new process; RunError if that fails."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.first_use", INSIDE, folder, name],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise RunError(f"the first use of {name} failed:\n{done.stderr.strip()}")
    return FirstUse(**json.loads(done.stdout))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_use", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="OPERATION", help=", ".join(OPERATIONS))
    parser.add_argument("--kernels", action="store_true", help="also say what each kernel took")
    parser.add_argument(INSIDE, dest="folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    for name in options.names:
        if name not in OPERATIONS:
            raise unknown_choice("operation", name, OPERATIONS)
    if options.folder is not None:
        print(json.dumps(asdict(first_use(options.names[0], options.folder))))
        return
    print(f"{'operation':20} forward  backward   (CPU seconds)")
    for name in options.names or OPERATIONS:
        found = measured(name)
        backward = "       -" if found.backward is None else f"{found.backward:8.1f}"
        over = max(found.forward, found.backward or 0) > MOST_SECONDS
        print(f"{name:20} {found.forward:7.1f}  {backward}" + f"   more than {MOST_SECONDS}" * over)
        if options.kernels:
            for kernel, seconds in found.kernels.items():
                print(f"    {kernel:32} {seconds:6.1f} s elapsed")


if __name__ == "__main__":
    try:
        main()
    except HeedfulError as error:
        sys.exit(f"error: {error}")
