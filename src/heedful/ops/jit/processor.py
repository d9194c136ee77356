"""What processor this is, as far as it decides which code is fast on it."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def has_wide_vectors() -> bool:
    """Whether its vectors hold 16 numbers of float32, and there are 32 of them: AVX-512."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def maker() -> str:
    """The processor's maker as it names itself, where the system tells."""
    if platform.system() != "Linux":
        return ""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            found = [line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")]
    except (OSError, IndexError):
        return ""
    return found[0] if found else ""
