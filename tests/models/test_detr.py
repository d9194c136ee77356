"""The example that finds items in scenes, on images made here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.examples import load_example, write_idx

pytest.importorskip("scipy")
pytest.importorskip("faster_coco_eval")


@pytest.fixture(scope="module")
def detr() -> ModuleType:
    return load_example("detr")


def items(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Bright squares and bars."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[::2, 6:22, 6:22] = 220
    images[1::2, 2:26, 11:17] = 220
    return images, (np.arange(count) % 2).astype(np.uint8)


def test_the_boxes_of_a_scene_hold_bright_pixels(detr: ModuleType) -> None:
    rng, seen = np.random.default_rng(0), 0
    for _ in range(20):
        pixels, labels, boxes = detr.make_scene(*items(), rng)
        assert pixels.shape == (1, 64, 64)
        assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
        for box in detr.boxes_of(labels, boxes):
            left, top = round(box.left), round(box.top)
            inside = pixels[0, top : top + round(box.height), left : left + round(box.width)]
            assert float(inside.mean()) > 0.4
            seen += 1
    assert seen > 20


def test_a_perfect_answer_scores_one(detr: ModuleType) -> None:
    rng = np.random.default_rng(1)
    boxes = [detr.boxes_of(*detr.make_scene(*items(), rng)[1:]) for _ in range(5)]
    assert detr.score_boxes(boxes, boxes, detr.LABELS).mean_ap == pytest.approx(1)


def test_runs_from_images_to_results(
    detr: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "t10k"):
        images, labels = items()
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    options = "--steps 2 --batch 3 --width 16 --scenes 8"
    monkeypatch.setattr(
        sys, "argv", ["detr.py", str(tmp_path), "--out", str(tmp_path / "out"), *options.split()]
    )
    detr.main()
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert 0 <= results["ap"] <= results["ap50"] <= 1
    assert (tmp_path / "out" / "scenes.png").stat().st_size > 1000
