"""The classes of processors that results are kept apart by, and how a processor with more passes for one with less."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

LIMITS = {
    "avx2": {
        "NUMBA_CPU_NAME": "x86-64-v3",
        "NUMBA_CPU_FEATURES": "",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
}
"""Environment variables that each library reads when it is loaded, by the class that they limit a processor to."""


def folder_of(vectors: str) -> str:
    """The folder of the results of a class.

    >>> folder_of("AVX-512"), folder_of("AVX2")
    ('avx-512', 'avx2')
    """
    return "-".join(vectors.lower().split())


def restart_limited(module: str, arguments: Sequence[str], limit: str) -> None:
    """Run the same command in this process with the limits of a class, unless they are set already."""
    wanted = LIMITS[limit]
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    command = [sys.executable, "-m", module, *arguments]
    os.execve(sys.executable, command, {**os.environ, **wanted})
