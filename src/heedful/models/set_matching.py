"""Matching of predicted to wanted objects, one to one, at the lowest cost (DETR)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from heedful.errors import OptionError
from heedful.models.boxes import corners_from_centers, overlap


@dataclass(frozen=True)
class MatchingCost:
    """Weights of the parts of the cost of a match."""

    label: float = 1.0
    """Of the negative probability of the wanted label."""
    distance: float = 5.0
    """Of the L1 distance of the boxes as (center x, center y, width, height), in shares of the image."""
    overlap: float = 2.0
    """Of the negative generalized intersection over union."""


def matching_cost(
    scores: Tensor, boxes: Tensor, labels: Tensor, wanted: Tensor, weights: MatchingCost
) -> Tensor:
    r"""Return the cost of matching each prediction with each wanted object, without gradient.

    .. math:: C_{ij} = -\lambda_l \, p_i(c_j) + \lambda_d \|b_i - \hat b_j\|_1
        - \lambda_o \mathrm{GIoU}(b_i, \hat b_j)

    Carion et al. 2020 (https://arxiv.org/abs/2005.12872).

    Args:
        scores: (*batch, queries, labels + 1), logits; the last is that of "no object".
        boxes: (*batch, queries, 4), centers and sizes.
        labels: (*batch, objects), long.
        wanted: (*batch, objects, 4), centers and sizes.
        weights: of the parts.

    Returns: (*batch, queries, objects), float32.
    """
    with torch.no_grad():
        chosen = labels[..., None, :].expand(*scores.shape[:-1], -1)
        probability = scores.float().softmax(-1).gather(-1, chosen)
        distance = torch.cdist(boxes.float(), wanted.float(), p=1)
        one, other = corners_from_centers(boxes.float()), corners_from_centers(wanted.float())
        generalized = overlap(one[..., None, :], other[..., None, :, :]).generalized
        return (
            weights.distance * distance
            - weights.label * probability
            - weights.overlap * generalized
        )


def match(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the assignment of lowest total cost: one row a column, none twice.

    The Hungarian method, from scipy. Rows come in ascending order.

    Args:
        cost: (queries, objects), finite.

    Raises: OptionError if there are more objects than queries, or scipy is missing.

    >>> match(torch.tensor([[1.0, 0.0], [0.0, 5.0], [9.0, 9.0]]))
    (tensor([0, 1]), tensor([1, 0]))
    """
    queries, objects = cost.shape
    if objects > queries:
        raise OptionError(
            f"an image has {objects} objects, but the model {queries} queries; set more of them."
        )
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise OptionError(
            'matching needs scipy; install it: pip install "heedful[images]"'
        ) from None

    rows, columns = linear_sum_assignment(cost.detach().cpu().double().numpy())
    return torch.from_numpy(rows).to(cost.device), torch.from_numpy(columns).to(cost.device)


@dataclass(frozen=True)
class Matches:
    """The matched pairs of a batch, flat."""

    image: Tensor
    """(pairs,): index of the image in the batch."""
    query: Tensor
    """(pairs,)."""
    target: Tensor
    """(pairs,): index into the objects of all images, one image after the other."""


def match_batch(
    scores: Tensor,
    boxes: Tensor,
    labels: Sequence[Tensor],
    wanted: Sequence[Tensor],
    weights: MatchingCost,
) -> Matches:
    """Match each image of a batch on its own: scores (batch, queries, labels + 1), boxes (batch, queries, 4).

    Raises: OptionError as `match`.
    """
    counts = [len(each) for each in labels]
    cost = matching_cost(
        scores,
        boxes,
        pad_sequence(list(labels), batch_first=True),
        pad_sequence(list(wanted), batch_first=True),
        weights,
    )
    # A prediction that is not finite is matched with anything: the loss is then not finite, which training reports.
    cost = cost.nan_to_num(nan=0.0)
    images, queries, targets, start = [], [], [], 0
    for number, (costs, count) in enumerate(zip(cost.cpu(), counts, strict=True)):
        rows, columns = match(costs[:, :count])
        images.append(torch.full_like(rows, number))
        queries.append(rows)
        targets.append(columns + start)
        start += count
    image, query, target = (
        torch.cat(each).to(scores.device) for each in (images, queries, targets)
    )
    return Matches(image, query, target)
