"""Compressed sparse rows: a list of edges sorted by query, the layout that kernels on graphs read."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.ops.csr.sort import rows_of, sorted_by
from heedful.ops.finite import can_read_values
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import Operator


@dataclass(frozen=True, eq=False)
class CompressedRows:
    """Edges sorted by query: those of query i are at positions `start[i]` to `start[i + 1]`, exclusive.

    Rows sorted inside a traced program have as many positions as edges were listed, since no shape there may depend
    on values; behind the last row there may then be positions of no edge, which repeat the last one.

    >>> rows = compress(torch.tensor([5, 6, 7]), torch.tensor([1, 0, 1]), num_queries=2)
    >>> rows.start.tolist(), rows.keys.tolist(), rows.edges.tolist()
    ([0, 1, 3], [6, 5, 7], [1, 0, 2])
    """

    start: Tensor
    """(queries + 1,), int64."""
    keys: Tensor
    """(edges,), int32: the key of each edge."""
    edges: Tensor
    """(edges,), int32: the index of each edge in the list that was sorted."""
    _queries: list[Tensor] = field(default_factory=list, repr=False)

    @property
    def count(self) -> int:
        """The number of positions."""
        return self.keys.shape[0]

    @property
    def num_queries(self) -> int:
        """The number of rows, empty ones included."""
        return self.start.shape[0] - 1

    def queries(self) -> Tensor:
        """Return the query of each position, (edges,), int64; positions of no edge get the last. Computed once."""
        if not self._queries:
            # A row begins after all those before it; no shape depends on values, as repeat_interleave's does.
            begins = self.start[1:-1]
            counts = self.start.new_zeros(self.count + 1)
            counts = counts.index_add(0, begins, torch.ones_like(begins))
            self._queries.append(counts[: self.count].cumsum(0))
        return self._queries[0]

    def hold_edges(self) -> Tensor:
        """Return which positions hold an edge, (edges,), bool."""
        return torch.arange(self.count, device=self.start.device) < self.start[-1]


def compress(
    keys: Tensor,
    queries: Tensor,
    num_queries: int,
    loops: int | None = None,
    num_keys: int | None = None,
) -> CompressedRows:
    """Sort edges by query; those of one query keep their order, and an edge listed twice stays twice.

    Args:
        keys: (edges,), int32 or int64.
        queries: (edges,), of the same dtype.
        num_queries: how many rows there are.
        loops: replace all edges from a node to itself by one for each of the first `loops` nodes; their indices in
            the list begin at the number of edges. None changes nothing.
        num_keys: needed inside a traced program, where indices are checked when it runs.
    """
    if is_compiling_for_cpu(keys):
        assert num_keys is not None
        how = "all" if loops is None else "loops"
        return _compiled_rows(keys, queries, num_queries, num_keys, how, loops or 0)
    if keys.is_cpu and can_read_values(keys) and unavailable() is None:
        return CompressedRows(*rows_of(keys, queries, num_queries, loops))
    edges = torch.arange(keys.shape[0] + (loops or 0), device=keys.device)
    if loops is not None:
        nodes = torch.arange(loops, device=keys.device, dtype=keys.dtype)
        between = keys != queries
        edges = edges[torch.cat([between, torch.ones_like(nodes, dtype=torch.bool)])]
        keys, queries = torch.cat([keys, nodes]), torch.cat([queries, nodes])
    return _sorted_rows(keys, queries, edges[queries[edges].argsort(stable=True)], num_queries)


def compress_unique(
    keys: Tensor, queries: Tensor, num_queries: int, num_keys: int
) -> CompressedRows:
    """Sort edges by query and then by key, and keep one of each.

    Shapes: keys (edges,), queries (edges,), int32 or int64.
    """
    if is_compiling_for_cpu(keys):
        return _compiled_rows(keys, queries, num_queries, num_keys, "unique")
    if keys.is_cpu and can_read_values(keys) and unavailable() is None:
        edges = sorted_by(queries, num_queries, sorted_by(keys, num_keys)[1])[1]
    else:
        by_key = keys.argsort(stable=True)
        edges = by_key[queries[by_key].argsort(stable=True)]
    pairs = torch.stack([queries[edges], keys[edges]])
    repeated = (pairs[:, 1:] == pairs[:, :-1]).all(0)
    first = torch.cat([repeated.new_ones(min(1, edges.shape[0])), ~repeated])
    return _sorted_rows(keys, queries, edges[first], num_queries)


def _sorted_rows(keys: Tensor, queries: Tensor, edges: Tensor, num_queries: int) -> CompressedRows:
    counts = torch.zeros(num_queries + 1, dtype=torch.int64, device=keys.device)
    found = queries[edges].long()
    start = counts.index_add(0, found + 1, torch.ones_like(found)).cumsum(0)
    return CompressedRows(start, keys[edges].int(), edges.int())


def is_compiling_for_cpu(tensor: Tensor) -> bool:
    """Return whether torch.compile or torch.export traces a program that can use the compiled kernels."""
    return torch.compiler.is_compiling() and tensor.is_cpu and unavailable() is None


def _compiled_rows(
    keys: Tensor, queries: Tensor, num_queries: int, num_keys: int, how: str, loops: int = 0
) -> CompressedRows:
    start, placed, edges, rows = _ROWS(keys, queries, num_queries, num_keys, how, loops)
    return CompressedRows(start, placed, edges, [rows])


def _run(
    keys: Tensor, queries: Tensor, num_queries: int, num_keys: int, how: str, loops: int
) -> tuple[Tensor, ...]:
    check_range("source (key)", keys, num_keys, "num_keys")
    check_range("target (query)", queries, num_queries, "num_queries")
    if how == "unique":
        rows = compress_unique(keys, queries, num_queries, num_keys)
    else:
        rows = compress(keys, queries, num_queries, loops if how == "loops" else None)
    lacking = keys.shape[0] + loops - rows.count
    padded = (
        # Repeated: a mask that lists an edge twice means the same, and the kernels stop at the last real one.
        torch.cat([one, one[-1:].expand(lacking)]) if one.shape[0] else one.new_zeros(lacking)
        for one in (rows.keys, rows.edges, rows.queries())
    )
    return rows.start, *padded


def _fake(
    keys: Tensor, queries: Tensor, num_queries: int, num_keys: int, how: str, loops: int
) -> tuple[Tensor, ...]:
    size = keys.shape[0] + loops
    short = (keys.new_empty(size, dtype=torch.int32) for _ in range(2))
    long = torch.int64
    return keys.new_empty(num_queries + 1, dtype=long), *short, keys.new_empty(size, dtype=long)


def check_range(what: str, index: Tensor, size: int, name: str) -> None:
    """Raise ShapeError where an index is outside 0 to size - 1."""
    if not index.shape[0]:
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= size:
        raise ShapeError(
            f"edge_index names {what} {low if low < 0 else high}, but {name} is {size}: indices run from 0 "
            f"to {size - 1}."
        )


_ROWS = Operator(
    "edge_rows(Tensor keys, Tensor queries, SymInt num_queries, SymInt num_keys, str how, SymInt loops)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _run,
    _fake,
)
