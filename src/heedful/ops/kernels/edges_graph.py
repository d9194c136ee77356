"""Edges in compressed rows: what the kernels for graphs walk along."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.ops.finite import can_look
from heedful.ops.kernels.edges_sort import sorted_by
from heedful.ops.kernels.runtime import unavailable


@dataclass(frozen=True, eq=False)
class CompressedRows:
    """Edges sorted by query: those of query i are at `start[i]` to `start[i + 1]`, exclusive.

    >>> rows = compress(torch.tensor([5, 6, 7]), torch.tensor([1, 0, 1]), num_queries=2)
    >>> rows.start.tolist(), rows.keys.tolist(), rows.edges.tolist()
    ([0, 1, 3], [6, 5, 7], [1, 0, 2])
    """

    start: Tensor
    """(queries + 1,), int64."""
    keys: Tensor
    """(edges,), int32: the key of each edge."""
    edges: Tensor
    """(edges,), int32: where each edge stands in the list that was sorted."""
    _queries: list[Tensor] = field(default_factory=list, repr=False)

    @property
    def count(self) -> int:
        """How many edges there are."""
        return self.keys.shape[0]

    @property
    def num_queries(self) -> int:
        """How many rows there are, empty ones too."""
        return self.start.shape[0] - 1

    def queries(self) -> Tensor:
        """The query of each edge, (edges,), int64; computed once."""
        if not self._queries:
            index = torch.arange(self.num_queries, device=self.start.device)
            counts = self.start.diff()
            self._queries.append(
                torch.repeat_interleave(index, counts, output_size=self.keys.shape[0])
            )
        return self._queries[0]


def compress(
    keys: Tensor, queries: Tensor, num_queries: int, num_keys: int | None = None
) -> CompressedRows:
    """Sort edges by query; with `num_keys` also by key within a query, else in the order given.

    Shapes: keys (edges,), queries (edges,), of int32 or int64.
    """
    if keys.is_cpu and can_look(keys) and unavailable() is None:
        by_key = None if num_keys is None else sorted_by(keys, num_keys)[1]
        start, edges = sorted_by(queries, num_queries, by_key)
    else:
        by_key = keys.argsort(stable=True)
        if num_keys is None:
            by_key = torch.arange(keys.shape[0], device=keys.device)
        order = queries[by_key].argsort(stable=True)
        edges = by_key[order].int()
        counts = torch.zeros(num_queries + 1, dtype=torch.int64, device=keys.device)
        ones = torch.ones_like(queries, dtype=torch.int64)
        start = counts.scatter_add(0, queries.long() + 1, ones).cumsum(0)
    return CompressedRows(start, keys[edges].int(), edges)
