"""Average precision beside pycocotools, the reference implementation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heedful.answers.box_metrics import Box, score_boxes
from heedful.errors import ShapeError

LABELS = ["bag", "coat", "shoe"]


def random_images(seed: int, images: int = 12) -> tuple[list[list[Box]], list[list[Box]]]:
    """Wanted boxes, and predictions that are moved, mislabelled, missing or made up."""
    rng = np.random.default_rng(seed)

    def box() -> Box:
        left, top = rng.uniform(0, 40, 2)
        width, height = rng.uniform(2, 24, 2)
        return Box(str(rng.choice(LABELS)), float(left), float(top), float(width), float(height))

    wanted = [[box() for _ in range(rng.integers(0, 6))] for _ in range(images)]
    predicted = []
    for boxes in wanted:
        found = [
            replace(
                each,
                left=each.left + float(rng.normal(0, 2)),
                width=each.width * float(rng.uniform(0.7, 1.3)),
                label=each.label if rng.random() < 0.8 else str(rng.choice(LABELS)),
            )
            for each in boxes
            if rng.random() < 0.85
        ]
        found += [box() for _ in range(rng.integers(0, 3))]
        predicted.append([replace(each, score=float(rng.random())) for each in found])
    return predicted, wanted


def oracle(predicted: Sequence[Sequence[Box]], wanted: Sequence[Sequence[Box]]) -> list[float]:
    """COCO's AP, AP50, AP75 and AR of pycocotools."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")

    def rows(images: Sequence[Sequence[Box]]) -> list[dict[str, Any]]:
        return [
            {
                "image_id": image, "category_id": LABELS.index(box.label) + 1, "score": box.score,
                "bbox": [box.left, box.top, box.width, box.height],
            }
            for image, boxes in enumerate(images, start=1)
            for box in boxes
        ]  # fmt: skip

    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": number + 1} for number in range(len(wanted))],
            "categories": [{"id": number + 1, "name": name} for number, name in enumerate(LABELS)],
            "annotations": [
                {**row, "id": number, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3]}
                for number, row in enumerate(rows(wanted), start=1)
            ],
        }
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(rows(predicted)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [evaluation.stats[number] for number in (0, 1, 2, 8)]


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    predicted, wanted = random_images(seed)
    scores = score_boxes(predicted, wanted, LABELS)
    got = [scores.mean_ap, scores.mean_ap50, scores.mean_ap75, scores.recall]
    assert got == pytest.approx(oracle(predicted, wanted), abs=1e-9)
    by_label = [each.ap for each in scores.labels]
    assert np.mean([ap for ap in by_label if ap is not None]) == pytest.approx(scores.mean_ap)
    assert sum(each.wanted for each in scores.labels) == scores.objects


def test_nothing_found() -> None:
    scores = score_boxes([[], []], [[Box("bag", 0, 0, 3, 3)], []], LABELS)
    assert (scores.mean_ap, scores.recall) == (0, 0)
    assert [each.ap for each in scores.labels] == [0, None, None]


def test_a_better_score_comes_first() -> None:
    wanted = [[Box("bag", 0, 0, 10, 10)]]
    right, wrong = Box("bag", 0, 0, 10, 10, 0.9), Box("bag", 30, 30, 5, 5, 0.5)
    assert score_boxes([[right, wrong]], wanted, LABELS).mean_ap == pytest.approx(1)
    swapped = [[replace(right, score=0.4), wrong]]
    assert score_boxes(swapped, wanted, LABELS).mean_ap == pytest.approx(0.5)


def test_what_cannot_be_scored() -> None:
    for predicted, wanted in (([[]], [[], []]), ([[]], [[]])):
        with pytest.raises(ShapeError, match="at least one object"):
            score_boxes(predicted, wanted, LABELS)
