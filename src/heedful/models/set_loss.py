"""The loss of a predicted set of objects, after matching (DETR)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.models.boxes import corners_from_centers, overlap
from heedful.models.query_head import ObjectsConfig
from heedful.models.set_matching import MatchingCost, match_batch


def set_loss(
    scores: Tensor,
    labels: Sequence[Tensor],
    boxes: Sequence[Tensor],
    config: ObjectsConfig,
    *,
    matches: int = 1,
) -> Tensor:
    r"""Return the loss of the objects predicted after one layer, summed over the images.

    .. math:: \lambda_l \, \mathrm{CE} + \frac{1}{n} \sum_{\text{matched}}
        (\lambda_d \|b - \hat b\|_1 + \lambda_o (1 - \mathrm{GIoU}(b, \hat b)))

    per image, where n is the mean number of matches of an image, and CE the mean cross-entropy of the queries, in which
    those without an object count `no_object` each.

    Args:
        scores: (batch, queries, labels + 1 + 4), see `QueryHead`.
        labels: for each image, (objects,), long.
        boxes: for each image, (objects, 4), centers and sizes in shares of the image.
        config: the weights.
        matches: predictions that are matched with each object; fewer if there are not as many.

    Raises: OptionError for an image of more objects than queries.
    """
    logits, predicted = scores[..., :-4], scores[..., -4:]
    most = max(map(len, labels), default=0)
    matches = max(1, min(matches, scores.shape[1] // max(most, 1)))
    labels = [each.repeat(matches) for each in labels]
    boxes = [each.repeat(matches, 1) for each in boxes]
    costs = MatchingCost(config.label_cost, config.distance_cost, config.overlap_cost)
    found = match_batch(logits, predicted, labels, boxes, costs)
    nothing = logits.shape[-1] - 1
    wanted = torch.full(logits.shape[:2], nothing, device=logits.device)
    wanted[found.image, found.query] = torch.cat(list(labels))[found.target]
    weight = logits.new_ones(nothing + 1)
    weight[nothing] = config.no_object
    images = len(scores)
    entropy = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weight=weight) * images
    ours = predicted[found.image, found.query]
    theirs = torch.cat(list(boxes))[found.target].to(ours.dtype)
    objects = max(len(theirs) / images, 1.0)
    distance = (ours - theirs).abs().sum()
    generalized = overlap(corners_from_centers(ours), corners_from_centers(theirs)).generalized
    far = config.distance_cost * distance + config.overlap_cost * (1 - generalized).sum()
    return config.label_cost * entropy + far / objects
