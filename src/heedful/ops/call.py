"""A checked call of `attend`: what every backend receives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.ops.cells import Cells
from heedful.ops.finite import all_finite, can_look
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows
from heedful.ops.scores import PreparedKey, Score


class Attended(NamedTuple):
    """What `attend` returns, always.

    >>> from heedful import attend
    >>> x = torch.ones(2, 3, 4)
    >>> output, weights = attend(x, x, x)
    >>> weights is None
    True
    """

    output: Tensor
    """(*batch, heads, query, value) or (*batch, query, value)."""
    weights: Tensor | None
    """(*batch, heads, query, key) or (*batch, query, key) when asked for: as normalized, before dropout."""


@dataclass(eq=False, slots=True)
class Call:
    """Arguments whose shapes, dtypes and devices are known to fit; what is often asked of them is worked out once.

    Nobody changes one: it is not frozen only because setting the fields of what is frozen takes several times as long.
    """

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
    rows: Rows
    """All rows of the call."""
    lead: tuple[int, ...] = field(init=False)
    """Leading axes of the scores, (*batch, heads)."""
    lead_size: int = field(init=False)
    num_queries: int = field(init=False)
    num_keys: int = field(init=False)
    cells: int = field(init=False)
    """How many scores the call has."""
    pair_features: int = field(init=False)
    """Features that one query-key pair combines."""
    value_features: int = field(init=False)
    _tensors: dict[str, Tensor] = field(init=False)
    _known_finite: bool | None = field(init=False)
    _needs_gradient: bool | None = field(init=False)
    # What was computed once; functools.cached_property takes a lock, which torch.compile cannot trace.

    def __post_init__(self) -> None:
        rows = self.rows
        self.lead = rows.lead
        self.lead_size = math.prod(rows.lead)
        self.num_queries = rows.num_queries
        self.num_keys = rows.num_keys
        self.cells = self.lead_size * rows.num_queries * rows.num_keys
        self.pair_features = self.score.pair_features(self.query.shape[-1])
        self.value_features = self.value.shape[-1]
        self._tensors = {}
        self._known_finite = self._needs_gradient = None

    @property
    def key_features(self) -> Tensor:
        """The key's tensor, prepared or not."""
        return self.key.features if isinstance(self.key, PreparedKey) else self.key

    @property
    def prepared_query(self) -> Tensor:
        if "query" not in self._tensors:
            self._tensors["query"] = self.score.prepare_query(self.query)
        return self._tensors["query"]

    @property
    def prepared_key(self) -> Tensor:
        """Prepared keys with the heads of the key."""
        if isinstance(self.key, PreparedKey):
            return self.key.features
        if "key" not in self._tensors:
            self._tensors["key"] = self.score.prepare_key(self.key).features
        return self._tensors["key"]

    @property
    def masks(self) -> bool:
        """Whether anything may hide a key from a query: a mask, or minus infinity in a bias."""
        return self.mask is not None or self.bias is not None

    @property
    def looked_at(self) -> bool:
        """Whether the numbers of the call can be looked at before it runs."""
        return can_look(self.query)

    @property
    def known_finite(self) -> bool:
        """Whether inputs and prepared features were seen to be finite; False where they cannot be looked at."""
        if not self.looked_at:
            return False
        if self._known_finite is None:
            self._known_finite = self._look()
        return self._known_finite

    def _look(self) -> bool:
        tensors = [self.query, self.key_features, self.value]
        if self.score.keeps_finite(self.query.shape[-1]):
            return all_finite(*tensors)
        if self.prepared_query is not self.query:
            tensors.append(self.prepared_query)
        if self.prepared_key is not self.key_features:
            tensors.append(self.prepared_key)
        return all_finite(*tensors)

    @property
    def needs_gradient(self) -> bool:
        """Whether anything will be kept for a backward pass."""
        if self._needs_gradient is None:
            self._needs_gradient = torch.is_grad_enabled() and any(
                tensor.requires_grad for tensor in self.tensors()
            )
        return self._needs_gradient

    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor that a gradient may reach."""
        return (
            self.query,
            self.key_features,
            self.value,
            *self.score.tensors(),
            *self.normalizer.tensors(),
            *bias_tensors(self.bias),
        )

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that a gradient may reach, with the name of the argument that holds it."""
        yield from (("query", self.query), ("key", self.key_features), ("value", self.value))
        for tensor in self.score.tensors():
            yield "score", tensor
        for tensor in self.normalizer.tensors():
            yield "normalizer", tensor
        for tensor in bias_tensors(self.bias):
            yield "bias", tensor


def bias_tensors(bias: Tensor | PositionBias | None) -> tuple[Tensor, ...]:
    """The tensors that a bias is or holds."""
    return () if bias is None else (bias,) if isinstance(bias, Tensor) else bias.tensors()


def bias_at(bias: Tensor | PositionBias, cells: Cells) -> Tensor:
    """What a bias adds at `cells`, whichever way it is given."""
    return cells.of_pairs(bias) if isinstance(bias, Tensor) else bias.at(cells)


def repeat_heads(tensor: Tensor, groups: int) -> Tensor:
    """Give each of the `groups` query heads that share a key head its copy: (..., heads, length, features)."""
    return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=-3)
