"""`python -m benchmarks.data_curves`: its curves, and a tiny run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import data_curves
from tests.examples import write_idx


def results(**curves: dict[int, list[float]]) -> dict[str, Any]:
    runs = {
        f"{name} steps {size} {seed}": {
            "model": name, "budget": "steps", "examples": size, "seed": seed, "accuracy": accuracy,
        }
        for name, sizes in curves.items()
        for size, seeds in sizes.items()
        for seed, accuracy in enumerate(seeds)
    }  # fmt: skip
    return {"steps": 10, "seconds": 1.0, "runs": runs}


def test_curves_cross_where_their_means_change_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = results(
        cnn={100: [0.5, 0.7], 300: [0.7], 1000: [0.8]},
        vit={100: [0.4], 300: [0.6], 1000: [0.9]},
        hybrid={100: [0.1], 300: [0.1], 1000: [0.1]},
    )
    assert data_curves.points(found, "steps", "cnn")[0] == (100, [0.5, 0.7])
    assert data_curves.crossings(found, "steps", "cnn", "vit") == [(300, 1000)]
    assert data_curves.crossings(found, "steps", "cnn", "hybrid") == []
    data_curves.draw(found, tmp_path / "curves.svg")
    assert (
        "equal steps: 10" in (tmp_path / "curves.svg").read_text()
        or (tmp_path / "curves.svg").stat().st_size > 5000
    )
    data_curves.tell(found)
    assert "crossings of cnn and vit: between 300 and 1,000" in capsys.readouterr().out


def test_a_tiny_run_is_kept_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.zeros((40, 28, 28), np.uint8)
    images[::2, :14], images[1::2, 14:] = 200, 200
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        labels = (np.arange(40) % 2).astype(np.uint8)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    tiny = {"encoder": {"kind": "transformer", "width": 8, "heads": 2, "layers": 1}}
    monkeypatch.setattr(data_curves, "MODELS", {**data_curves.MODELS, "vit": tiny})
    files = ["--results", str(tmp_path / "r.json"), "--picture", str(tmp_path / "p.svg")]
    options = [
        str(tmp_path), "--out", str(tmp_path / "runs"), *files, "--models", "vit", "--seeds", "1",
        "--examples", "20", "--steps", "2", "--seconds", "0.2",
    ]  # fmt: skip
    data_curves.main([*options, "--test"])
    runs = json.loads((tmp_path / "r.json").read_text())["runs"]
    assert set(runs) == {"vit steps 20 0", "vit seconds 20 0"}
    assert runs["vit steps 20 0"]["steps"] == 2
    assert all(0 <= each["test"] <= 1 for each in runs.values())
    capsys.readouterr()
    data_curves.main(options)
    assert "accuracy'" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="holds other budgets"):
        data_curves.main([*options[:-1], "3"])
