"""Boxes: corners and centers, intersection over union, and its generalized form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def corners_from_centers(boxes: Tensor) -> Tensor:
    """Convert (center x, center y, width, height) to (left, top, right, bottom): (..., 4) -> (..., 4).

    >>> corners_from_centers(torch.tensor([0.5, 0.5, 1.0, 0.5])).tolist()
    [0.0, 0.25, 1.0, 0.75]
    """
    center, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([center - size / 2, center + size / 2], dim=-1)


def centers_from_corners(boxes: Tensor) -> Tensor:
    """Convert (left, top, right, bottom) to (center x, center y, width, height): (..., 4) -> (..., 4)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def box_area(corners: Tensor) -> Tensor:
    """Return the area of boxes (..., 4) given by their corners: (...)."""
    return (corners[..., 2:] - corners[..., :2]).clamp(min=0).prod(-1)


class Overlap(NamedTuple):
    """How two sets of boxes overlap."""

    iou: Tensor
    """Intersection over union, 0 to 1; 0 for two boxes without area."""
    generalized: Tensor
    """iou − (hull − union) / hull, −1 to 1."""


def overlap(one: Tensor, other: Tensor) -> Overlap:
    r"""Return the intersection over union of boxes, and its generalized form (Rezatofighi et al. 2019,
    https://arxiv.org/abs/1902.09630), which has a gradient also where boxes do not touch.

    .. math:: \mathrm{GIoU} = \frac{|A \cap B|}{|A \cup B|} - \frac{|H| - |A \cup B|}{|H|}, \quad
        H \text{ the smallest box around both}

    Args:
        one, other: corners, (..., 4), which broadcast: (n, 1, 4) and (m, 4) give all pairs, (n, m).

    >>> one, other = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 0.0, 3.0, 2.0])
    >>> found = overlap(one, other)
    >>> round(float(found.iou), 4), round(float(found.generalized), 4)
    (0.3333, 0.3333)
    """
    low, high = (
        torch.maximum(one[..., :2], other[..., :2]),
        torch.minimum(one[..., 2:], other[..., 2:]),
    )
    shared = (high - low).clamp(min=0).prod(-1)
    union = box_area(one) + box_area(other) - shared
    hull_low = torch.minimum(one[..., :2], other[..., :2])
    hull_high = torch.maximum(one[..., 2:], other[..., 2:])
    hull = (hull_high - hull_low).clamp(min=0).prod(-1)
    smallest = torch.finfo(union.dtype).tiny
    iou = shared / union.clamp(min=smallest)
    return Overlap(iou, iou - (hull - union) / hull.clamp(min=smallest))
