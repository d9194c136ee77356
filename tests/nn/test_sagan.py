"""The example that trains generators with and without self-attention, on images made here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from tests.examples import load_example, write_idx


@pytest.fixture(scope="module")
def sagan() -> ModuleType:
    return load_example("sagan")


def test_the_two_generators_have_equal_parameters(sagan: ModuleType) -> None:
    for kind in (sagan.Generator, sagan.Discriminator):
        sizes = [
            sum(p.numel() for p in kind(64, attention).parameters()) for attention in (True, False)
        ]
        assert sizes[0] == sizes[1]


def test_the_distance_of_gaussians_is_known(sagan: ModuleType) -> None:
    torch.manual_seed(0)
    one = torch.randn(4000, 3, dtype=torch.float64)
    scale = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    one = (one - one.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(one.t()))).t()
    other = one * scale + 3
    # covariances I and diag(scale²): Σ (scale − 1)², and the means are 3 apart on each axis
    wanted = float(((scale - 1) ** 2).sum()) + 27
    assert sagan.frechet_distance(one, other) == pytest.approx(wanted)
    assert sagan.frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_runs_from_images_to_results(
    sagan: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.use_deterministic_algorithms(
        False
    )  # the backward pass of interpolate has no deterministic form
    try:
        rng = np.random.default_rng(0)
        for part, count in (("train", 300), ("t10k", 200)):
            images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
            labels = np.arange(count, dtype=np.uint8) % 3
            write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
        out = tmp_path / "out"
        options = "--seeds 1 --steps 2 --batch 8 --width 16 --samples 200 --classifier-epochs 1"
        monkeypatch.setattr(
            sys, "argv", ["sagan.py", str(tmp_path), "--out", str(out), *options.split()]
        )
        sagan.main()
    finally:
        torch.use_deterministic_algorithms(True)
    results = json.loads((out / "results.json").read_text())
    assert [run["model"] for run in results["runs"]] == ["attention", "residual"]
    assert all(run["distance"] > results["floor"] for run in results["runs"])
    assert all(run["parameters"] > 1000 for run in results["runs"])
    assert {path.name for path in out.glob("*.png")} == {
        "attention-0.png", "residual-0.png", "looked-at-0.png",
    }  # fmt: skip


def test_the_average_forgets_the_initial_weights(sagan: ModuleType) -> None:
    average, current = torch.zeros(2), torch.ones(2)
    for step in range(1, 100):
        sagan.move_average([average], [current], torch.tensor(step))
    assert bool((average > 0.999).all())
    sagan.move_average([average.zero_()], [current], torch.tensor(10**6))
    torch.testing.assert_close(average, torch.full((2,), 0.001))
