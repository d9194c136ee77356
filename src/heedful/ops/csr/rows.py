"""Edges in compressed rows: what the kernels for graphs walk along."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.ops.csr.sort import rows_of, sorted_by
from heedful.ops.finite import can_look
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import Operator


@dataclass(frozen=True, eq=False)
class CompressedRows:
    """Edges sorted by query: those of query i are at `start[i]` to `start[i + 1]`, exclusive.

    Sorted in a traced program, where no size may depend on numbers, they may be followed by places of no edge.

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
    keys: Tensor,
    queries: Tensor,
    num_queries: int,
    loops: int | None = None,
    num_keys: int | None = None,
) -> CompressedRows:
    """Sort edges by query, those of a query in the order given; an edge listed twice stays twice.

    With `loops`, edges from a node to itself are left out and the first `loops` nodes get one each instead, numbered
    from the number of edges on. Shapes: keys (edges,), queries (edges,), of int32 or int64. While a program is traced
    nobody has looked at the indices, and `num_keys` says which there may be.
    """
    if is_traced(keys):
        assert num_keys is not None
        how = "all" if loops is None else "loops"
        return _traced(keys, queries, num_queries, num_keys, how, loops or 0)
    if keys.is_cpu and can_look(keys) and unavailable() is None:
        return CompressedRows(*rows_of(keys, queries, num_queries, loops))
    edges = torch.arange(keys.shape[0] + (loops or 0), device=keys.device)
    if loops is not None:
        nodes = torch.arange(loops, device=keys.device, dtype=keys.dtype)
        apart = keys != queries
        edges = edges[torch.cat([apart, torch.ones_like(nodes, dtype=torch.bool)])]
        keys, queries = torch.cat([keys, nodes]), torch.cat([queries, nodes])
    return _sorted_rows(keys, queries, edges[queries[edges].argsort(stable=True)], num_queries)


def compress_unique(
    keys: Tensor, queries: Tensor, num_queries: int, num_keys: int
) -> CompressedRows:
    """Sort edges by query and then by key; an edge listed twice is there once."""
    if is_traced(keys):
        return _traced(keys, queries, num_queries, num_keys, "unique")
    if keys.is_cpu and can_look(keys) and unavailable() is None:
        edges = sorted_by(queries, num_queries, sorted_by(keys, num_keys)[1])[1]
    else:
        by_key = keys.argsort(stable=True)
        edges = by_key[queries[by_key].argsort(stable=True)]
    wanted = torch.stack([queries[edges], keys[edges]])
    again = (wanted[:, 1:] == wanted[:, :-1]).all(0)
    first = torch.cat([again.new_ones(min(1, edges.shape[0])), ~again])
    return _sorted_rows(keys, queries, edges[first], num_queries)


def _sorted_rows(keys: Tensor, queries: Tensor, edges: Tensor, num_queries: int) -> CompressedRows:
    counts = torch.zeros(num_queries + 1, dtype=torch.int64, device=keys.device)
    found = queries[edges].long()
    start = counts.index_add(0, found + 1, torch.ones_like(found)).cumsum(0)
    return CompressedRows(start, keys[edges].int(), edges.int())


def is_traced(tensor: Tensor) -> bool:
    """Whether a program is being traced that will find the kernels."""
    return torch.compiler.is_compiling() and tensor.is_cpu and unavailable() is None


def _traced(
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
    made = rows.start, rows.keys, rows.edges, rows.queries()
    lacking = keys.shape[0] + loops - rows.count
    return made[0], *(torch.nn.functional.pad(one, (0, lacking)) for one in made[1:])


def _fake(
    keys: Tensor, queries: Tensor, num_queries: int, num_keys: int, how: str, loops: int
) -> tuple[Tensor, ...]:
    size = keys.shape[0] + loops
    short = (keys.new_empty(size, dtype=torch.int32) for _ in range(2))
    long = torch.int64
    return keys.new_empty(num_queries + 1, dtype=long), *short, keys.new_empty(size, dtype=long)


def check_range(what: str, index: Tensor, size: int, name: str) -> None:
    """Raise ShapeError where an index is none of `size` nodes."""
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
