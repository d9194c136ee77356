"""A validated call of `attend`, the argument of every backend."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.ops.cells import Cells
from heedful.ops.finite import all_finite, can_read_values
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows
from heedful.ops.scores import PreparedKey, Score


class Attended(NamedTuple):
    """The return value of `attend`.

    >>> from heedful import attend
    >>> x = torch.ones(2, 3, 4)
    >>> output, weights = attend(x, x, x)
    >>> weights is None
    True
    """

    output: Tensor
    """(*batch, heads, query, value) or (*batch, query, value)."""
    weights: Tensor | None
    """(*batch, heads, query, key) or (*batch, query, key), after normalizing and before dropout.

    None without `return_weights`.
    """


@dataclass(eq=False, slots=True)
class CallShape:
    """Static properties of a call, computed once for all calls of one signature.

    Immutable by convention: not a frozen dataclass, for the reason given in `Call`.
    """

    rows: Rows
    """All rows of the call."""
    groups: int
    """Number of query heads that share a key head; 1 without grouped-query attention."""
    pair_features: int
    """Features that one query-key pair combines."""
    value_features: int
    needs_gradient: bool
    """Whether the output requires a gradient."""
    cast_to: torch.dtype | None = None
    """The dtype that autocast casts query, key and value to; None if they are not cast."""
    lead: tuple[int, ...] = field(init=False)
    """Leading axes of the scores, (*batch, heads)."""
    lead_size: int = field(init=False)
    num_queries: int = field(init=False)
    num_keys: int = field(init=False)
    cells: int = field(init=False)
    """Number of scores of the call: query-key pairs of all leading axes."""

    def __post_init__(self) -> None:
        rows = self.rows
        self.lead = rows.lead
        self.lead_size = math.prod(rows.lead)
        self.num_queries = rows.num_queries
        self.num_keys = rows.num_keys
        self.cells = self.lead_size * rows.num_queries * rows.num_keys


@dataclass(eq=False, slots=True)
class Call:
    """Validated arguments of `attend`: shapes, dtypes and devices match.

    Immutable by convention. It is not a frozen dataclass, since constructing one takes several times as long.
    """

    query: Tensor
    key: Tensor | PreparedKey
    value: Tensor
    score: Score
    mask: Mask | None
    bias: Tensor | PositionBias | None
    normalizer: Normalizer
    dropout_p: float
    return_weights: bool
    shape: CallShape
    # Lazily computed and cached. functools.cached_property takes a lock, which torch.compile cannot trace.
    _prepared_query: Tensor | None = field(default=None, init=False, repr=False)
    _prepared_key: Tensor | None = field(default=None, init=False, repr=False)
    _known_finite: bool | None = field(default=None, init=False, repr=False)

    @property
    def rows(self) -> Rows:
        """All rows of the call."""
        return self.shape.rows

    @property
    def groups(self) -> int:
        """Number of query heads that share a key head."""
        return self.shape.groups

    @property
    def lead(self) -> tuple[int, ...]:
        """Leading axes of the scores, (*batch, heads)."""
        return self.shape.lead

    @property
    def lead_size(self) -> int:
        """Product of the leading axes."""
        return self.shape.lead_size

    @property
    def num_queries(self) -> int:
        """Length of the query."""
        return self.shape.num_queries

    @property
    def num_keys(self) -> int:
        """Length of key and value."""
        return self.shape.num_keys

    @property
    def cells(self) -> int:
        """Number of scores of the call."""
        return self.shape.cells

    @property
    def pair_features(self) -> int:
        """Features that one query-key pair combines."""
        return self.shape.pair_features

    @property
    def value_features(self) -> int:
        """Features of a value."""
        return self.shape.value_features

    @property
    def needs_gradient(self) -> bool:
        """Whether the output requires a gradient."""
        return self.shape.needs_gradient

    @property
    def key_features(self) -> Tensor:
        """The key's tensor, prepared or not."""
        return self.key.features if isinstance(self.key, PreparedKey) else self.key

    @property
    def prepared_query(self) -> Tensor:
        """The query after the score's per-token work; computed once."""
        if self._prepared_query is None:
            self._prepared_query = self.score.prepare_query(self.query)
        return self._prepared_query

    @property
    def prepared_key(self) -> Tensor:
        """The key after the score's per-token work, with the heads of the key; computed once."""
        if isinstance(self.key, PreparedKey):
            return self.key.features
        if self._prepared_key is None:
            self._prepared_key = self.score.prepare_key(self.key).features
        return self._prepared_key

    @property
    def is_masked(self) -> bool:
        """Whether a key may be masked: by a mask, or by minus infinity in a bias."""
        return self.mask is not None or self.bias is not None

    @property
    def known_finite(self) -> bool:
        """Whether inputs and prepared features are finite. False if they cannot be read (tracing). Cached."""
        if not can_read_values(self.query):
            return False
        if self._known_finite is None:
            self._known_finite = self._check_finite()
        return self._known_finite

    def _check_finite(self) -> bool:
        tensors = [self.query, self.key_features, self.value]
        if self.score.keeps_finite(self.query.shape[-1]):
            return all_finite(*tensors)
        if self.prepared_query is not self.query:
            tensors.append(self.prepared_query)
        if self.prepared_key is not self.key_features:
            tensors.append(self.prepared_key)
        return all_finite(*tensors)

    def tensors(self) -> tuple[Tensor, ...]:
        """All differentiable tensors of the call."""
        return (
            self.query,
            self.key_features,
            self.value,
            *self.score.tensors(),
            *self.normalizer.tensors(),
            *bias_tensors(self.bias),
        )

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All differentiable tensors of the call, each with the name of its argument."""
        yield from (("query", self.query), ("key", self.key_features), ("value", self.value))
        for tensor in self.score.tensors():
            yield "score", tensor
        for tensor in self.normalizer.tensors():
            yield "normalizer", tensor
        for tensor in bias_tensors(self.bias):
            yield "bias", tensor


def bias_tensors(bias: Tensor | PositionBias | None) -> tuple[Tensor, ...]:
    """The tensors of a bias: itself, or the parameters of a position bias."""
    return () if bias is None else (bias,) if isinstance(bias, Tensor) else bias.tensors()


def bias_at(bias: Tensor | PositionBias, cells: Cells) -> Tensor:
    """The bias at `cells`, from a tensor or a position bias."""
    return cells.of_pairs(bias) if isinstance(bias, Tensor) else bias.at(cells)


def repeat_heads(tensor: Tensor, groups: int) -> Tensor:
    """Repeat each key head for the `groups` query heads that share it.

    (..., key heads, length, features) -> (..., key heads · groups, length, features).
    """
    return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=-3)
