"""Metrics of object detection as tables."""

from __future__ import annotations

from heedful.answers.base import Rows
from heedful.answers.box_metrics import BoxScores


def summary_rows(found: BoxScores) -> Rows:
    """Return the metrics over all labels, with what each is."""
    return [
        ["mAP", f"{found.mean_ap:.4f}", "COCO: mean over labels and overlaps of .50 to .95"],
        ["AP50", f"{found.mean_ap50:.4f}", "at an overlap of .50"],
        ["AP75", f"{found.mean_ap75:.4f}", "at an overlap of .75"],
        ["recall", f"{found.recall:.4f}", "greatest, mean over labels and overlaps"],
        ["F1", f"{found.f1:.4f}", "of the boxes above the threshold, at an overlap of .50"],
    ]


def label_rows(found: BoxScores) -> Rows:
    """Return a row for each label under a row of column names."""
    rows = [
        [each.label, f"{each.wanted:,}", f"{each.got:,}", _shown(each.ap), _shown(each.ap50)]
        for each in found.labels
    ]
    return [["label", "objects", "boxes", "AP", "AP50"], *rows]


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
