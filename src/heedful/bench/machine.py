"""The machine and the libraries that results belong to."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

LIBRARIES = (
    "torch", "numpy", "numba", "torch_geometric", "entmax", "local-attention", "keras",
)  # fmt: skip


BASELINE = "no vectors to speak of"
CLASSES = {"AVX512": "AVX-512", "AVX2": "AVX2", "DEFAULT": BASELINE}
"""PyTorch's names of what a processor has, and ours."""


def describe() -> dict[str, str]:
    """Return what identifies this machine for a reader of results: processor, cores, memory, versions.

    >>> {"processor", "cores", "memory", "system", "python"} <= set(describe())
    True
    """
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_bytes() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version for name in LIBRARIES if (version := _version(name))},
    }


def vectors() -> str:
    """The class of the processor by the vectors that are used: what `ATEN_CPU_CAPABILITY` allows of what it has.

    >>> vectors() != ""
    True
    """
    import torch

    used = torch.backends.cpu.get_cpu_capability()
    return CLASSES.get(used, used)


def _processor() -> str:
    """The model's name as Linux tells it, with its family and model number where the name says little."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    told: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        told[key.strip()] = value.strip()
    name = told.get("model name") or platform.processor() or platform.machine()
    used = vectors()
    widest = "" if used == BASELINE else used
    if used != CLASSES["AVX512"] and "avx512f" in told.get("flags", ""):
        widest = f"limited to {used}"
    numbers = f"family {told['cpu family']}, model {told['model']}" if "cpu family" in told else ""
    details = ", ".join(part for part in (numbers, widest) if part)
    return f"{name} ({details})" if details else name


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
