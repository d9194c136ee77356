"""A checked call of `attend`: what every backend receives."""

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
class CallShape:
    """What follows from the signature of a call alone, worked out once for all calls of that signature.

    Never changed once made; not frozen, as `Call` is not.
    """

    rows: Rows
    """All rows of the call."""
    groups: int
    """How many query heads share a key head."""
    pair_features: int
    """Features that one query-key pair combines."""
    value_features: int
    needs_gradient: bool
    """Whether anything is kept for a backward pass."""
    cast_to: torch.dtype | None = None
    """What autocast makes of query, key and value."""
    lead: tuple[int, ...] = field(init=False)
    """Leading axes of the scores, (*batch, heads)."""
    lead_size: int = field(init=False)
    num_queries: int = field(init=False)
    num_keys: int = field(init=False)
    cells: int = field(init=False)
    """How many scores the call has."""

    def __post_init__(self) -> None:
        rows = self.rows
        self.lead = rows.lead
        self.lead_size = math.prod(rows.lead)
        self.num_queries = rows.num_queries
        self.num_keys = rows.num_keys
        self.cells = self.lead_size * rows.num_queries * rows.num_keys


@dataclass(eq=False, slots=True)
class Call:
    """Validated arguments: shapes, dtypes and devices are known to fit. Never changed once made.

    It is not frozen only because setting the fields of a frozen dataclass takes several times as long.
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
    # Computed once on demand; functools.cached_property takes a lock, which torch.compile cannot trace.
    _prepared_query: Tensor | None = field(default=None, init=False, repr=False)
    _prepared_key: Tensor | None = field(default=None, init=False, repr=False)
    _known_finite: bool | None = field(default=None, init=False, repr=False)

    @property
    def rows(self) -> Rows:
        """All rows of the call."""
        return self.shape.rows

    @property
    def groups(self) -> int:
        """How many query heads share a key head."""
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
        """How many scores the call has."""
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
        """Whether anything is kept for a backward pass."""
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
        """Whether anything may hide a key from a query: a mask, or minus infinity in a bias."""
        return self.mask is not None or self.bias is not None

    @property
    def known_finite(self) -> bool:
        """Whether inputs and prepared features were read and are finite; False where they cannot be read. Read once."""
        if not can_read_values(self.query):
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
