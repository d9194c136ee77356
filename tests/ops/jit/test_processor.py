"""What the processor says of itself."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from heedful.ops.jit import processor


def test_wide_vectors_are_those_of_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, wide in (("AVX512", True), ("AVX2", False), ("DEFAULT", False)):
        monkeypatch.setattr(
            torch.backends.cpu, "get_cpu_capability", lambda found=capability: found
        )
        assert processor.has_wide_vectors() == wide


def test_the_maker_of_the_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    for text, name in (
        ("processor : 0\nvendor_id\t: GenuineIntel\n", "GenuineIntel"),
        ("vendor_id", ""),
        ("processor : 0\n", ""),
    ):
        told = tmp_path / "cpuinfo"
        told.write_text(text)
        monkeypatch.setattr(processor, "Path", lambda _, told=told: told)
        assert processor.maker() == name
    monkeypatch.setattr(processor, "Path", lambda _: tmp_path / "missing")
    assert processor.maker() == ""
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    assert processor.maker() == ""


def test_zen_4_splits_wide_vectors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    told = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "Path", lambda _: told)
    for vendor, family, capability, splits in (
        ("AuthenticAMD", "25", "AVX512", True),
        ("AuthenticAMD", "26", "AVX512", False),
        ("AuthenticAMD", "25", "AVX2", False),
        ("GenuineIntel", "25", "AVX512", False),
    ):
        told.write_text(f"vendor_id\t: {vendor}\ncpu family\t: {family}\ncpu family\t: 6\n")
        monkeypatch.setattr(
            torch.backends.cpu, "get_cpu_capability", lambda found=capability: found
        )
        assert processor.splits_wide_vectors() == splits
