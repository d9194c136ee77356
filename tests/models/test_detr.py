"""The example that finds items in scenes, on images made here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from heedful.answers.boxes import FoundObjects
from heedful.data.images.objects import Box, Scene, Scenes
from heedful.data.images.picture import Picture
from tests.examples import load_example, write_idx

pytest.importorskip("scipy")
pytest.importorskip("faster_coco_eval")


@pytest.fixture(scope="module")
def detr() -> ModuleType:
    return load_example("detr")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bright squares and bars."""
    images = np.zeros((40, 28, 28), np.uint8)
    images[::2, 6:22, 6:22] = 220
    images[1::2, 2:26, 11:17] = 220
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        labels = (np.arange(40) % 2).astype(np.uint8)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    return tmp_path


def test_validation_scenes_are_of_other_items_than_those_of_training(
    detr: ModuleType, folder: Path
) -> None:
    made = detr.makers(folder)
    counts = {part: len(maker.items) for part, maker in made.items()}
    assert counts == {"train": 36, "valid": 4, "test": 40}
    assert set(made["valid"].labels) == {"T-shirt", "trouser"}
    one, same = (detr.scenes(made["valid"], 3, "validation").texts() for _ in range(2))
    assert one == same


def test_runs_from_images_to_results(
    detr: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "out"
    tiny = {"encoder": {**detr.SETTINGS["encoder"], "width": 16, "layers": 1}}
    monkeypatch.setattr(detr, "SETTINGS", {**detr.SETTINGS, **tiny, "objects": {"queries": 6}})
    monkeypatch.setattr(
        detr,
        "scenes",
        lambda *args, of=detr.scenes, **kw: of(args[0], min(args[1], 6), *args[2:], **kw),
    )
    options = "--epochs 1 --scenes 6 --valid 6 --batch 3 --test"
    monkeypatch.setattr(sys, "argv", ["detr.py", str(folder), "--out", str(out), *options.split()])
    detr.main()
    results = json.loads((out / "results.json").read_text())
    for part in ("valid", "test"):
        assert 0 <= results[part]["ap"] <= results[part]["ap50"] <= 1
    assert set(results["errors"]) == {"right labels", "right boxes"}
    assert (out / "scene-1.png").stat().st_size > 1000
    assert (out / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("found", "right_labels", "right_boxes"),
    [
        (Box("bag", 10, 10, 20, 20, 0.9), 1.0, 0.0),  # the right place, the wrong label
        (Box("boot", 14, 12, 20, 20, 0.9), 0.2, 1.0),  # overlaps by .56
        (Box("boot", 40, 40, 20, 20, 0.9), 0.0, 0.0),
    ],
)
def test_errors_are_of_labels_or_of_boxes(
    detr: ModuleType, found: Box, right_labels: float, right_boxes: float
) -> None:
    scene = Scene(
        Picture.of(np.zeros((64, 64), np.uint8), "a scene"), (Box("boot", 10, 10, 20, 20),)
    )
    prediction = FoundObjects((found,), (0,), (found,))
    predictor = SimpleNamespace(predict_data=lambda data: [prediction] * len(data))
    model = SimpleNamespace(predictor=predictor, labels=("bag", "boot"))
    errors = detr.show_errors(model, Scenes([scene]))
    assert errors["right labels"] == pytest.approx(right_labels)
    assert errors["right boxes"] == pytest.approx(right_boxes)
