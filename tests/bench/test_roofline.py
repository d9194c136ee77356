"""`python -m benchmarks.roofline`: the roof, the model for more cores, the tables and the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.roofline import Machine, Point, draw, measure, operations, probes, report
from heedful import plan

MACHINE = Machine(peak=100e9, one=10e9, two=16e9)
FAST = Point("fast", flops=8e9, bytes=1e6, one=0.1, two=0.05)
SERIAL = Point("serial", flops=8e9, bytes=1e6, one=0.1, two=0.06)
FED = Point("fed by memory", flops=1e9, bytes=1e9, one=0.1, two=0.0625)


def test_the_roof_is_memory_and_then_arithmetic() -> None:
    assert MACHINE.roof(1.0) == 10e9
    assert MACHINE.roof(1000.0) == 100e9


def test_bandwidth_saturates_as_from_one_core_to_two() -> None:
    assert MACHINE.bandwidth(1) == 10e9
    assert MACHINE.bandwidth(2) == pytest.approx(16e9)
    assert MACHINE.bandwidth(10**6) == pytest.approx(40e9, rel=1e-3)
    assert Machine(1.0, 10e9, 25e9).bandwidth(8) == 80e9
    assert Machine(1.0, 10e9, 20e9, most=50e9).bandwidth(64) == 50e9


def test_efficiency_of_more_cores() -> None:
    assert FAST.efficiency(64, MACHINE) == pytest.approx(1.0)
    assert SERIAL.serial == pytest.approx(0.2)
    assert SERIAL.efficiency(2, MACHINE) == pytest.approx(0.1 / (2 * 0.06))
    assert SERIAL.efficiency(8, MACHINE) == pytest.approx(1 / (8 * (0.2 + 0.8 / 8)))
    # 1 GB at the bandwidth of 64 cores, which is not 64 times that of one.
    assert FED.efficiency(64, MACHINE) == pytest.approx(0.1 / (64 * 0.1 * (0.25 + 0.75 / 64)))
    assert FED.efficiency(64, Machine(1e9, 10e9, 10e9)) == pytest.approx(0.1 / (64 * 0.1))


def test_report_and_picture(tmp_path: Path) -> None:
    text = "\n".join(report(MACHINE, [FAST, SERIAL]))
    assert "| fast | 8e+03 | 80 | 100 | 80 % |" in text
    assert "| serial | 83 % measured | 42 % |" in text
    draw(MACHINE, [FAST, SERIAL, FED], tmp_path / "roof.svg", "Title")
    drawn = (tmp_path / "roof.svg").read_text(encoding="utf-8")
    assert "fed by memory: 10" in drawn
    assert "prefers-color-scheme: dark" in drawn


def test_what_is_counted() -> None:
    works = operations()
    x = torch.empty(1, 4, 1024, 64)
    assert works["plain, length 1,024"].flops == plan(x, x, x).flops
    assert works["plain, length 1,024"].bytes == 4 * 4 * x.numel()
    # Every query but the outermost sees 257 keys.
    assert works["window ±128"].flops == 4 * 64 * 4 * (257 * 4096 - 128 * 129)


def test_probes_compute_what_they_count() -> None:
    works, sums = probes()
    measure({"bandwidth": works["bandwidth"]}, 0.0, by_clock=False)
    assert sums.sum().item() == works["bandwidth"].bytes / 4
