"""One vector for a sequence of states: their mean, maximum, last, or what a learned query attends to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError
from heedful.nn.attention import normalizer_value
from heedful.nn.normalizers import NormalizerModule
from heedful.nn.scores import build_score
from heedful.ops import masks
from heedful.ops.attend import attend
from heedful.ops.call import Attended
from heedful.ops.normalizers import Normalizer, Softmax


def mean_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of the real states: (batch, length, width), (batch,) -> (batch, width).

    >>> mean_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2])).tolist()
    [[2.0]]
    """
    return values.masked_fill(~_real(values, lengths), 0.0).sum(1) / lengths[:, None]


def max_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the greatest of each feature over the real states: (batch, width).

    >>> max_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2])).tolist()
    [[3.0]]
    """
    return values.masked_fill(~_real(values, lengths), -torch.inf).amax(1)


def last_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the last real state: (batch, width).

    >>> last_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2])).tolist()
    [[3.0]]
    """
    return values[torch.arange(len(lengths), device=values.device), lengths - 1]


POOLS = {"mean": mean_pool, "max": max_pool, "last": last_pool}
"""The poolings that have no parameters."""


class AttentionPooling(nn.Module):
    r"""A learned query attends to the states: :math:`y = \sum_j \mathrm{normalize}_j(e(q, h_j) + b_j)\, h_j`

    Yang et al. 2016 (https://aclanthology.org/N16-1174), with any score. Each head has its query and looks at its
    share of the features.

    Args:
        width: features of the states.
        heads: how many queries; they must divide `width`.
        score: a name from `SCORE_MODULES`.
        normalizer: how scores become weights.

    Shapes: values (batch, length, width), lengths (batch,), bias (batch, length) -> output (batch, width), weights
    (batch, heads, 1, length).

    Raises: ShapeError when `heads` does not divide `width`; OptionError for an unknown score.

    >>> pooling = AttentionPooling(6, heads=2)
    >>> pooling(torch.ones(3, 5, 6), torch.tensor([5, 1, 2])).output.shape
    torch.Size([3, 6])
    """

    kind = "pooling"

    def __init__(
        self,
        width: int,
        heads: int = 1,
        *,
        score: str = "additive",
        normalizer: Normalizer | NormalizerModule = Softmax(),
    ):
        super().__init__()
        if heads < 1 or width % heads:
            raise ShapeError(
                f"{heads} heads do not divide a width of {width}; take a divisor of it."
            )
        self.heads, self.head_width = heads, width // heads
        self.query = nn.Parameter(torch.randn(heads, 1, self.head_width))
        self.score = build_score(score, self.head_width, self.head_width, heads=heads)
        self.normalizer = normalizer

    def forward(
        self,
        values: Tensor,
        lengths: Tensor,
        bias: Tensor | None = None,
        *,
        return_weights: bool = False,
    ) -> Attended:
        parts = values.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)
        query = self.query.expand(len(values), -1, -1, -1)
        found = attend(
            query,
            parts,
            parts,
            score=self.score(),
            mask=masks.Dense(_real(values, lengths)[:, None, None, :, 0]),
            bias=None if bias is None else bias[:, None, None, :],
            normalizer=normalizer_value(self.normalizer),
            return_weights=return_weights,
        )
        return Attended(found.output.squeeze(2).flatten(1), found.weights)


def _real(values: Tensor, lengths: Tensor) -> Tensor:
    return (torch.arange(values.shape[1], device=values.device) < lengths[:, None])[..., None]
