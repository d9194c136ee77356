"""Pooling of a sequence of states into one vector: mean, maximum, last or first state, or attention."""

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
    """Mean over the unpadded states: (batch, length, embed_dim), (batch,) -> (batch, embed_dim).

    >>> mean_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2])).tolist()
    [[2.0]]
    """
    return values.masked_fill(~_real(values, lengths), 0.0).sum(1) / lengths[:, None]


def max_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Maximum of each feature over the unpadded states: (batch, length, embed_dim), (batch,) -> (batch, embed_dim).

    >>> max_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2])).tolist()
    [[3.0]]
    """
    return values.masked_fill(~_real(values, lengths), -torch.inf).amax(1)


def last_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Last unpadded state: (batch, length, embed_dim), (batch,) -> (batch, embed_dim).

    >>> last_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2])).tolist()
    [[3.0]]
    """
    return values[torch.arange(values.shape[0], device=values.device), lengths - 1]


def first_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """First state, as of a class token: (batch, length, embed_dim), (batch,) -> (batch, embed_dim).

    >>> first_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2])).tolist()
    [[1.0]]
    """
    return values[:, 0]


POOLS = {"mean": mean_pool, "max": max_pool, "last": last_pool, "first": first_pool}
"""Poolings without parameters, by name."""


class AttentionPooling(nn.Module):
    r"""Attention of a learned query to the states: :math:`y = \sum_j \mathrm{normalize}_j(e(q, h_j) + b_j)\, h_j`

    Yang et al. 2016 (https://aclanthology.org/N16-1174), with any score. Each head has a query of its own and
    attends to its share of the features.

    Args:
        embed_dim: features of the states.
        num_heads: number of queries; must divide `embed_dim`.
        score: a name from `SCORE_MODULES`.
        normalizer: maps scores to weights.

    Shapes: values (batch, length, embed_dim), lengths (batch,), bias (batch, length) -> output (batch, embed_dim),
    weights (batch, num_heads, 1, length).

    Raises:
        ShapeError: `num_heads` does not divide `embed_dim`.
        OptionError: unknown score.

    >>> pooling = AttentionPooling(6, num_heads=2)
    >>> pooling(torch.ones(3, 5, 6), torch.tensor([5, 1, 2])).output.shape
    torch.Size([3, 6])
    """

    kind = "pooling"

    def __init__(
        self,
        embed_dim: int,
        num_heads: int = 1,
        *,
        score: str = "additive",
        normalizer: Normalizer | NormalizerModule = Softmax(),
    ):
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ShapeError(
                f"num_heads={num_heads} does not divide embed_dim={embed_dim}; choose a divisor of {embed_dim}."
            )
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.query = nn.Parameter(torch.randn(num_heads, 1, self.head_dim))
        self.score = build_score(score, self.head_dim, self.head_dim, num_heads=num_heads)
        self.normalizer = normalizer

    def forward(
        self,
        values: Tensor,
        lengths: Tensor,
        bias: Tensor | None = None,
        *,
        return_weights: bool = False,
    ) -> Attended:
        parts = values.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
        query = self.query.expand(values.shape[0], -1, -1, -1)
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
