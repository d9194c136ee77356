"""Boxes in the pixels of pictures of any shape, turned by EXIF or not, whatever is done to bring them to one size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import heedful
from heedful.answers.boxes import Boxes
from heedful.config import build
from heedful.data.images.objects import Box, Scenes
from heedful.explore.objects import image_view
from heedful.inputs.scenes import SceneInput
from heedful.models.query_head import ObjectsConfig, ObjectSets
from heedful.tasks.detect import TASK, DetectConfig

pytest.importorskip("scipy")

BRIGHT = Box("square", 12.0, 6.0, 16.0, 8.0)
"""What is bright in every picture, as it is seen: after the turn that EXIF notes."""
TURNS = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> what was done to the pixels that are stored."""


def write(folder: Path, height: int, width: int, orientation: int) -> Path:
    """Write a picture of a bright rectangle, whose file notes an orientation, with its box in COCO's format."""
    pixels = np.full((height, width), 20, np.uint8)
    pixels[6:14, 12:28] = 220
    image, turn, exif = Image.fromarray(pixels), TURNS[orientation], Image.Exif()
    exif[0x0112] = orientation
    folder.mkdir(exist_ok=True)
    (image if turn is None else image.transpose(turn)).save(folder / "1.png", exif=exif)
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": width, "height": height}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [12, 6, 16, 8]}],
        "categories": [{"id": 1, "name": "square"}],
    }
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def read(folder: Path, fit: str, **changes: Any) -> tuple[Scenes, SceneInput, Boxes]:
    config = build(
        DetectConfig, {"data": {"size": 48, "patch": 8, "fit": fit}, "augmentation": changes}
    )
    data = TASK.reader.read_files([str(folder)], config.data, "train")
    return data, SceneInput.learn(config, data.inputs), Boxes.learn(config, data.answers)


def scores_of(boxes: torch.Tensor) -> torch.Tensor:
    """Certain predictions of the only label, (1, queries, 2 + 4)."""
    return torch.cat([torch.tensor([20.0, -20.0]).expand(len(boxes), 2), boxes], dim=1)[None]


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(("height", "width"), [(80, 40), (30, 90), (24, 36)])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("changes", [{}, {"flip": True, "shift": 4}])
def test_a_box_survives_the_way_to_the_model_and_back(
    tmp_path: Path, fit: str, height: int, width: int, orientation: int, changes: dict[str, Any]
) -> None:
    data, images, answer = read(write(tmp_path / "of", height, width, orientation), fit, **changes)
    [encoded], [target] = images.encode(data.inputs), answer.targets(data)
    change = images.pair_augmentation()
    for seed in range(8 if changes else 1):
        one, wanted = encoded, target
        if change is not None:
            one, wanted = change(encoded, target, np.random.default_rng(seed))
        batch, targets = images.collate([one]), answer.collate([wanted])
        inside = batch.to_model(targets.boxes, targets.counts)
        x, y, across, down = (inside[0] * 48).tolist()
        bright = batch.pixels[0, 0, :, :, 0] > 120
        rows, columns = bright.any(1).nonzero(), bright.any(0).nonzero()
        assert float(rows.min()) == pytest.approx(y - down / 2, abs=1)
        assert float(rows.max()) + 1 == pytest.approx(y + down / 2, abs=1)
        assert float(columns.min()) == pytest.approx(x - across / 2, abs=1)
        assert float(columns.max()) + 1 == pytest.approx(x + across / 2, abs=1)
        if change is None:
            [[found]] = (each.boxes for each in answer.predictions(scores_of(inside), batch))
            assert (found.left, found.top) == pytest.approx((BRIGHT.left, BRIGHT.top), abs=1e-4)
            assert (found.width, found.height) == pytest.approx((16, 8), abs=1e-4)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_boxes_are_drawn_where_the_picture_lies(tmp_path: Path, fit: str) -> None:
    data, images, answer = read(write(tmp_path / "of", 80, 40, 6), fit)
    batch = images.collate(images.encode(data.inputs))
    targets = answer.collate(answer.targets(data))
    inside = batch.to_model(targets.boxes, targets.counts)
    [prediction] = answer.predictions(scores_of(inside), batch)
    pixels, grid = images.view(data.inputs[0])
    [box] = image_view(images, pixels, grid, data.inputs[0], prediction).boxes
    rows, columns = (np.flatnonzero((pixels[0, :, :, 0] > 120).any(axis)) for axis in (1, 0))
    assert box.left == pytest.approx(columns[0], abs=1)
    assert box.left + box.width == pytest.approx(columns[-1] + 1, abs=1)
    assert box.top == pytest.approx(rows[0], abs=1)
    assert box.top + box.height == pytest.approx(rows[-1] + 1, abs=1)


def test_a_padded_picture_has_its_whole_width_for_a_box_and_nothing_beside_it(
    tmp_path: Path,
) -> None:
    data, images, answer = read(write(tmp_path / "of", 80, 40, 1), "pad")
    batch = images.collate(images.encode(data.inputs))
    assert batch.frames.tolist() == [[0.25, 0.0, 0.5, 1.0]]
    everywhere = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 0.5, 1.0]])
    [found] = answer.predictions(scores_of(everywhere), batch)
    assert [(each.left, each.top, each.width, each.height) for each in found.boxes] == [
        (0.0, 0.0, 40.0, 80.0)
    ] * 2


def test_the_command_pads_and_answers_in_pixels_of_the_picture(tmp_path: Path) -> None:
    from tests.cli.conftest import run_command

    folder = write(tmp_path / "of", 80, 40, 6)
    size = {
        "inputs": {"stem": "convolution", "width": 8},
        "encoder": {"kind": "transformer", "width": 8, "heads": 2, "feed_forward": 8, "layers": 1},
        "objects": {"queries": 3, "heads": 2, "layers": 1, "feed_forward": 8},
    }
    heedful.train(
        "detect", train=str(folder), valid=str(folder), out=tmp_path / "run",
        data={"size": 32, "patch": 8, "fit": "pad"}, training={"epochs": 1, "threads": 1}, **size,
    )  # fmt: skip
    predicted = run_command("predict", str(tmp_path / "run"), str(folder / "1.png"))
    assert predicted.status == 0, predicted.stderr
    for each in json.loads(predicted.stdout):
        left, top, across, down = each["bbox"]
        assert -0.01 <= left <= left + across <= 40.01
        assert -0.01 <= top <= top + down <= 80.01


@pytest.mark.parametrize("start", ["learned", "cells"])
def test_what_is_learned_lies_where_the_picture_does(tmp_path: Path, start: str) -> None:
    data, images, answer = read(write(tmp_path / "of", 80, 40, 6), "pad")
    batch = images.collate(images.encode(data.inputs))
    targets = answer.collate(answer.targets(data))
    # The rectangle of 12 to 28 × 6 to 14 pixels of 40 × 80, which became 24 × 48 of 48 × 48 pixels.
    right = torch.tensor([[(12 + 20 * 0.6) / 48, 10 * 0.6 / 48, 16 * 0.6 / 48, 8 * 0.6 / 48]])
    scores = scores_of(right.expand(4, 4)).clone()
    scores[0, 1:, :2] = torch.tensor([-20.0, 20.0])  # the others find nothing

    class Head:
        def find(self, states: Any) -> ObjectSets:
            cells = scores_of(right.expand(4, 4)) if start == "cells" else None
            return ObjectSets(scores[None], cells, None)

    class Network:
        head = Head()

        def states(self, batch: Any) -> None:
            return None

    answer = replace(answer, objects=ObjectsConfig.model_validate({"queries": 4, "start": start}))
    assert float(answer.network_loss(Network(), batch, targets)) == pytest.approx(0, abs=1e-4)
    wrong = batch._replace(frames=torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    assert float(answer.network_loss(Network(), wrong, targets)) > 1


def test_a_box_that_lies_in_the_padding_is_no_answer(tmp_path: Path) -> None:
    data, inputs, boxes = read(write(tmp_path / "wide", 24, 48, 1), "pad")
    scores = scores_of(torch.tensor([[0.5, 0.95, 0.5, 0.06], [0.5, 0.5, 0.5, 0.2]]))
    batch = inputs.collate(inputs.encode(data.inputs))
    [found] = boxes.predictions(scores, batch)
    assert len(found.boxes) == len(found.queries) == 1
    assert found.boxes[0].height > 1
    assert all(box.width > 0 and box.height > 0 for box in found.candidates)
