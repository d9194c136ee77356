"""Metrics of object detection: average precision by COCO's definition (faster-coco-eval)."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heedful.errors import OptionError, ShapeError


@dataclass(frozen=True)
class Box:
    """An object in an image, in pixels from its upper left corner."""

    label: str
    left: float
    top: float
    width: float
    height: float
    score: float = 1.0
    """Probability of a predicted object."""


@dataclass(frozen=True, kw_only=True)
class BoxMetrics:
    """Average precision of one label."""

    label: str
    wanted: int
    got: int
    ap: float | None
    """Mean over overlaps of .50 to .95; None without a wanted object of the label."""
    ap50: float | None


@dataclass(frozen=True, kw_only=True)
class BoxScores:
    """Detection metrics, from 0 to 1."""

    images: int
    objects: int
    mean_ap: float
    """Mean over the labels and over overlaps .50, .55 ... .95 (COCO's AP)."""
    mean_ap50: float
    """At an overlap of .50 (Pascal VOC's)."""
    mean_ap75: float
    recall: float
    """Mean over labels and overlaps of the greatest recall with 100 boxes an image."""
    labels: tuple[BoxMetrics, ...]


def score_boxes(
    predicted: Sequence[Sequence[Box]], wanted: Sequence[Sequence[Box]], labels: Sequence[str]
) -> BoxScores:
    """Return average precision of the boxes of each image (Lin et al. 2014, https://arxiv.org/abs/1405.0312).

    Args:
        predicted, wanted: the boxes of each image.
        labels: the label set.

    Raises: ShapeError for different numbers of images, or no wanted object; OptionError without faster-coco-eval.

    >>> boxes = [[Box("cat", 0, 0, 10, 10)], [Box("dog", 5, 5, 20, 10)]]
    >>> scores = score_boxes(boxes, boxes, ["cat", "dog"])
    >>> round(scores.mean_ap, 3), scores.objects
    (1.0, 2)
    """
    if len(predicted) != len(wanted) or not any(wanted):
        raise ShapeError(
            f"got the boxes of {len(predicted)} images for {len(wanted)} with {sum(map(len, wanted))} objects; "
            "expected equal numbers, and at least one object."
        )
    evaluation = _evaluate(predicted, wanted, labels)
    precision = evaluation.eval["precision"][..., 0, 2]  # all areas, 100 boxes an image
    by_label = [
        BoxMetrics(
            label=label,
            wanted=sum(box.label == label for boxes in wanted for box in boxes),
            got=sum(box.label == label for boxes in predicted for box in boxes),
            ap=_mean(precision[:, :, number]),
            ap50=_mean(precision[:1, :, number]),
        )
        for number, label in enumerate(labels)
    ]
    return BoxScores(
        images=len(wanted),
        objects=sum(map(len, wanted)),
        mean_ap=_mean(precision) or 0.0,
        mean_ap50=_mean(precision[:1]) or 0.0,
        mean_ap75=_mean(precision[5:6]) or 0.0,
        recall=_mean(evaluation.eval["recall"][..., 0, 2]) or 0.0,
        labels=tuple(by_label),
    )


def _mean(values: Any) -> float | None:
    """Return the mean of the values that are defined; COCO marks the others by −1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None


def _evaluate(
    predicted: Sequence[Sequence[Box]], wanted: Sequence[Sequence[Box]], labels: Sequence[str]
) -> Any:
    """Run COCO's evaluation, which prints."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise OptionError(
            'evaluating boxes needs faster-coco-eval; install it: pip install "heedful[images]"'
        ) from None

    numbers = {label: number for number, label in enumerate(labels, start=1)}
    truth = {
        "images": [{"id": number, "width": 1, "height": 1} for number in range(1, len(wanted) + 1)],
        "categories": [{"id": number, "name": label} for label, number in numbers.items()],
        "annotations": [
            {**each, "id": number, "iscrowd": 0, "area": math.prod(each["bbox"][2:])}
            for number, each in enumerate(_rows(wanted, numbers), start=1)
        ],
    }
    results = [
        {**row, "score": box.score}
        for row, box in zip(
            _rows(predicted, numbers), (b for p in predicted for b in p), strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(truth)
        found = reference.loadRes(results) if results else COCO({**truth, "annotations": []})
        evaluation = COCOeval_faster(reference, found, "bbox", print_function=lambda *_: None)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _rows(images: Sequence[Sequence[Box]], numbers: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": numbers[box.label],
            "bbox": [box.left, box.top, box.width, box.height],
        }
        for image, boxes in enumerate(images, start=1)
        for box in boxes
    ]
