"""Properties of the processor that decide which code is fastest."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def has_wide_vectors() -> bool:
    """Whether the processor has AVX-512: 32 vector registers of 16 float32 lanes."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def has_bfloat16_arithmetic() -> bool:
    """Whether products in bfloat16 have instructions of their own: AVX512_BF16 or AMX, on ARM the BF16 extension.

    PyTorch multiplies in bfloat16 through oneDNN, which can be limited to fewer instructions than the processor has
    (`ONEDNN_MAX_CPU_ISA`). oneDNN alone does not tell: it takes any processor with AVX-512, and converts there.
    """
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if supported is None or not torch.backends.mkldnn.is_available() or not supported():
        return False
    if platform.machine().lower() in {"aarch64", "arm64"}:
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def maker() -> str:
    """The processor's vendor id, such as "AuthenticAMD"; an empty string if unknown."""
    return _described("vendor_id")


def splits_wide_vectors() -> bool:
    """Whether a vector of 512 bits takes two steps of units of 256, as in AMD's Zen 4 (family 25)."""
    return has_wide_vectors() and maker() == "AuthenticAMD" and _described("cpu family") == "25"


def _described(what: str) -> str:
    """A line of Linux's description of the first processor; an empty string if unknown."""
    if platform.system() != "Linux":
        return ""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            for line in lines:
                name, colon, value = line.partition(":")
                if colon and name.strip() == what:
                    return value.strip()
    except OSError:
        pass
    return ""
