"""Metrics of object detection: average precision by COCO's definition (faster-coco-eval)."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heedful.data.images.objects import Box
from heedful.errors import OptionError, ShapeError


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
    f1: float
    """Of the boxes that are shown, at an overlap of .50; see `counts_of_image`."""
    labels: tuple[BoxMetrics, ...]


def score_boxes(
    predicted: Sequence[Sequence[Box]],
    wanted: Sequence[Sequence[Box]],
    labels: Sequence[str],
    *,
    shown: Sequence[Sequence[Box]] | None = None,
) -> BoxScores:
    """Return average precision of the boxes of each image (Lin et al. 2014, https://arxiv.org/abs/1405.0312).

    Args:
        predicted, wanted: the boxes of each image; what is found in a wanted crowd does not count.
        labels: the label set.
        shown: the boxes of which F1 is computed; None: all that are predicted.

    Raises: ShapeError for different numbers of images, or no wanted object; OptionError without faster-coco-eval.

    >>> boxes = [[Box("cat", 0, 0, 10, 10)], [Box("dog", 5, 5, 20, 10)]]
    >>> scores = score_boxes(boxes, boxes, ["cat", "dog"])
    >>> round(scores.mean_ap, 3), scores.objects
    (1.0, 2)
    """
    objects = sum(not box.is_crowd for boxes in wanted for box in boxes)
    if len(predicted) != len(wanted) or not objects:
        raise ShapeError(
            f"got the boxes of {len(predicted)} images for {len(wanted)} with {objects} objects; "
            "expected equal numbers, and at least one object."
        )
    evaluation = _evaluate(predicted, wanted, labels)
    precision = evaluation.eval["precision"][..., 0, 2]  # all areas, 100 boxes an image
    by_label = [
        BoxMetrics(
            label=label,
            wanted=sum(
                box.label == label and not box.is_crowd for boxes in wanted for box in boxes
            ),
            got=sum(box.label == label for boxes in predicted for box in boxes),
            ap=_mean(precision[:, :, number]),
            ap50=_mean(precision[:1, :, number]),
        )
        for number, label in enumerate(labels)
    ]
    return BoxScores(
        images=len(wanted),
        objects=sum(each.wanted for each in by_label),
        mean_ap=_mean(precision) or 0.0,
        mean_ap50=_mean(precision[:1]) or 0.0,
        mean_ap75=_mean(precision[5:6]) or 0.0,
        recall=_mean(evaluation.eval["recall"][..., 0, 2]) or 0.0,
        f1=_f1(predicted if shown is None else shown, wanted),
        labels=tuple(by_label),
    )


def counts_of_image(found: Sequence[Box], wanted: Sequence[Box]) -> tuple[int, int, int]:
    """Return how many boxes are right, how many were found and how many wanted, in one image.

    In the order of their scores, a box is right if it overlaps by .50 or more with a wanted one of its label that has
    none yet. What lies in a crowd does not count.

    >>> cat, crowd = Box("cat", 0, 0, 10, 10), Box("cat", 20, 0, 30, 30, is_crowd=True)
    >>> counts_of_image([cat, Box("cat", 25, 5, 5, 5), Box("dog", 0, 0, 10, 10)], [cat, crowd])
    (1, 2, 1)
    """
    left = [box for box in wanted if not box.is_crowd]
    objects, right, got = len(left), 0, 0
    crowds = [box for box in wanted if box.is_crowd]
    for box in sorted(found, key=lambda each: -each.score):
        same = [
            (_iou(box, other), number)
            for number, other in enumerate(left)
            if other.label == box.label
        ]
        best = max(same, default=(0.0, -1))
        if best[0] >= 0.5:
            del left[best[1]]
            right, got = right + 1, got + 1
        elif not any(
            each.label == box.label and _shared(box, each) >= 0.5 * box.width * box.height
            for each in crowds
        ):
            got += 1
    return right, got, objects


def _f1(found: Sequence[Sequence[Box]], wanted: Sequence[Sequence[Box]]) -> float:
    counts = [counts_of_image(*pair) for pair in zip(found, wanted, strict=True)]
    right, got, objects = (sum(each) for each in zip(*counts, strict=True))
    return float(2 * right / max(got + objects, 1))


def _shared(one: Box, other: Box) -> float:
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return max(width, 0.0) * max(height, 0.0)


def _iou(one: Box, other: Box) -> float:
    shared = _shared(one, other)
    union = one.width * one.height + other.width * other.height - shared
    return shared / union if union > 0 else 0.0


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
            {
                **each,
                "id": number,
                "iscrowd": int(box.is_crowd),
                "area": math.prod(each["bbox"][2:]),
            }
            for number, (each, box) in enumerate(
                zip(_rows(wanted, numbers), (b for w in wanted for b in w), strict=True), start=1
            )
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
