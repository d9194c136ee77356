"""A checked call of `attend`: what every backend receives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows
from heedful.ops.scores import PreparedKey, Score


class Attended(NamedTuple):
    """What `attend` returns, always."""

    output: Tensor
    """(*batch, heads, query, value) or (*batch, query, value)."""
    weights: Tensor | None
    """(*batch, heads, query, key) or (*batch, query, key) when asked for: as normalized, before dropout."""


@dataclass(frozen=True, eq=False)
class Call:
    """Arguments whose shapes, dtypes and devices are known to fit."""

    query: Tensor
    key: Tensor | PreparedKey
    value: Tensor
    score: Score
    mask: Mask | None
    bias: Tensor | PositionBias | None
    normalizer: Normalizer
    dropout_p: float
    groups: int
    """How many query heads share a key head."""
    return_weights: bool
    lead: tuple[int, ...]

    @property
    def num_queries(self) -> int:
        return self.query.shape[-2]

    @property
    def key_features(self) -> Tensor:
        """The key's tensor, prepared or not."""
        return self.key.features if isinstance(self.key, PreparedKey) else self.key

    @property
    def num_keys(self) -> int:
        return self.value.shape[-2]

    @property
    def rows(self) -> Rows:
        """All rows of the call."""
        return Rows.all(self.num_queries, self.num_keys, self.lead, self.query.device)

    @property
    def cells(self) -> int:
        """How many scores the call has."""
        return self.lead_size * self.num_queries * self.num_keys

    @property
    def lead_size(self) -> int:
        size = 1
        for axis in self.lead:
            size *= axis
        return size

    @cached_property
    def prepared_query(self) -> Tensor:
        return self.score.prepare_query(self.query)

    @cached_property
    def prepared_key(self) -> Tensor:
        """Prepared keys with the heads of the key."""
        if isinstance(self.key, PreparedKey):
            return self.key.features
        return self.score.prepare_key(self.key).features

    @property
    def pair_features(self) -> int:
        """Features that one query-key pair combines."""
        return self.score.pair_features(self.query.shape[-1])

    @property
    def needs_gradient(self) -> bool:
        """Whether anything will be kept for a backward pass."""
        tensors = [
            self.query,
            self.key_features,
            self.value,
            *self.score.tensors(),
            *self.normalizer.tensors(),
        ]
        if isinstance(self.bias, Tensor):
            tensors.append(self.bias)
        elif self.bias is not None:
            tensors += self.bias.tensors()
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def bias_tile(bias: Tensor | PositionBias, rows: Rows) -> Tensor:
    """The block of a bias for `rows`, whichever way it is given."""
    return rows.slice(bias) if isinstance(bias, Tensor) else bias.tile(rows)


def repeat_heads(tensor: Tensor, groups: int) -> Tensor:
    """Give each of the `groups` query heads that share a key head its copy: (..., heads, length, features)."""
    return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=-3)
