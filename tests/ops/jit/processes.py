"""Runs small programs around one kernel in processes of their own, with a cache folder of the test's choice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

KERNEL = """
from heedful.ops.jit.kernel import kernel

@kernel
def double(part, parts, source, target):
    for i in range(len(source) * part // parts, len(source) * (part + 1) // parts):
        target[i] = source[i] * 2
"""

START = """
import sys, warnings
from pathlib import Path
import torch
from heedful.ops.jit import kernel as runtime
from heedful.ops.jit import cache as runtime_store
from heedful.ops.jit import threads
runtime_store._bases = lambda: tuple(Path(base) for base in sys.argv[1].split("|"))

def run(parts=1):
    from a_kernel import double
    source = torch.arange(1000.0)
    target = torch.empty(1000)
    runtime.launch(double, source, target, work=0, parts=parts)
    assert torch.equal(target, source * 2)
"""


def begin(
    program: str, folder: Path, caches: str, before: str = "", **environment: str
) -> subprocess.Popen[str]:
    """Start a program in which `run()` runs the kernel; it is kept in a file, since only files are cached."""
    kernel = folder / "a_kernel.py"
    if not kernel.exists():
        kernel.write_text(KERNEL)
    code = f"{before}\nimport sys\nsys.path.insert(0, {str(folder)!r})\n{START}\n{program}"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, caches],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2", **environment},
    )


def finished(process: subprocess.Popen[str], seconds: float = 240) -> str:
    """Wait for a program and return what it printed."""
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("the program hangs") from None
    assert process.returncode == 0, errors
    return output.strip()


def run(program: str, folder: Path, caches: str, before: str = "", **environment: str) -> str:
    """Run a program to its end."""
    return finished(begin(program, folder, caches, before, **environment))
