"""Arguments of attention over edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class EdgePair:
    """How query and key of an edge make a score: q · k, or vector · φ(q + k)."""

    kind: Literal["dot", "leaky_relu", "tanh"]
    negative_slope: float = 0.2
    """Slope of the LeakyReLU below 0."""
    edges_in_values: bool = False
    """Whether projected edge features are added to values as well as to keys."""


@dataclass(frozen=True, eq=False)
class EdgeTensors:
    """Tensors of a call; None where there is none."""

    query: Tensor
    """(batch, queries, heads, features)."""
    key: Tensor
    """(batch, keys, heads, features)."""
    value: Tensor
    """(batch, keys, heads, value features); may be the same tensor as key, which is faster."""
    vector: Tensor | None = None
    """(heads, features): weights of the hidden features; None for the dot pair."""
    edge_features: Tensor | None = None
    """(listed edges, edge features), in the order listed. Their projection is added to the key of each edge."""
    edge_weight: Tensor | None = None
    """(edge features, heads, features): projects them."""
    bias: Tensor | None = None
    """(batch or 1, edges, heads), in the order of the compressed rows; added to scores. Minus infinity hides."""

    @property
    def edge_dim(self) -> int:
        """Features of an edge; 0 where edges have none."""
        return 0 if self.edge_features is None else self.edge_features.shape[1]

    def each(
        self,
    ) -> tuple[
        Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None,
    ]:  # fmt: skip
        """Return the tensors in the order of the fields."""
        # Spelled out: torch.compile cannot read `vars` before PyTorch 2.12.
        return (
            self.query, self.key, self.value, self.vector, self.edge_features, self.edge_weight, self.bias,
        )  # fmt: skip

    def to(self, dtype: torch.dtype) -> EdgeTensors:
        """Return the tensors in one dtype; key and value stay one tensor where they are."""
        if all(one is None or one.dtype == dtype for one in self.each()):
            return self
        query, key, value, *rest = (None if one is None else one.to(dtype) for one in self.each())
        assert query is not None
        assert key is not None
        assert value is not None
        return EdgeTensors(query, key, key if self.value is self.key else value, *rest)

    def contiguous(self) -> EdgeTensors:
        """Return the tensors in contiguous memory."""
        made = (None if one is None else one.resolve_neg().contiguous() for one in self.each())
        return EdgeTensors(*made)  # type: ignore[arg-type]
