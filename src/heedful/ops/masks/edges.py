"""A mask given as a list of edges: attention on a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.errors import DtypeError, ShapeError
from heedful.ops.cells import Cells
from heedful.ops.expect import expect_tensor
from heedful.ops.kernels.edges_graph import CompressedRows, compress, compress_unique
from heedful.ops.masks.base import Mask
from heedful.ops.rows import Rows


@dataclass(frozen=True, eq=False)
class Edges(Mask):
    """Query i sees key j where the edge j → i is listed; an edge listed twice counts once.

    `edge_index` is an integer tensor (2, edges), row 0 the source = key, row 1 the target = query, as in
    PyTorch Geometric. They are sorted when first needed, once. An index outside `num_keys` or `num_queries` raises
    ShapeError.

    >>> import torch
    >>> Edges(torch.tensor([[0, 1], [1, 1]]), num_queries=2, num_keys=3).dense(2, 3).int().tolist()
    [[0, 0, 0], [1, 1, 0]]
    """

    edge_index: Tensor
    num_queries: int
    num_keys: int
    _made: dict[str, CompressedRows] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        index = self.edge_index
        expect_tensor("edge_index", index, "(2, edges)")
        if index.dtype not in (torch.int64, torch.int32):
            raise DtypeError(f"edge_index is {index.dtype}; it holds indices, so make it int64.")
        if index.ndim != 2 or index.shape[0] != 2:
            raise ShapeError(
                f"edge_index has shape {tuple(index.shape)}; it wants (2, edges): sources (keys), then targets "
                f"(queries)."
            )
        if index.shape[1]:
            _check_range("source (key)", index[0], self.num_keys, "num_keys")
            _check_range("target (query)", index[1], self.num_queries, "num_queries")

    def rows(self) -> CompressedRows:
        """The edges sorted by query; one listed twice stays twice. Computed once."""
        if "listed" not in self._made:
            self._made["listed"] = compress(
                self.edge_index[0], self.edge_index[1], self.num_queries
            )
        return self._made["listed"]

    def rows_with_loops(self) -> CompressedRows:
        """The same with exactly one edge from each node to itself, numbered from the number of edges on.

        Where there are more queries than keys or fewer, the nodes are those that are both.
        """
        if "loops" not in self._made:
            nodes = min(self.num_queries, self.num_keys)
            self._made["loops"] = compress(
                self.edge_index[0], self.edge_index[1], self.num_queries, nodes
            )
        return self._made["loops"]

    def unique_rows(self) -> CompressedRows:
        """The edges sorted by query and then key, each once: what the mask means. Computed once."""
        if "unique" not in self._made:
            self._made["unique"] = compress_unique(
                self.edge_index[0], self.edge_index[1], self.num_queries, self.num_keys
            )
        return self._made["unique"]

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.edge_index,)

    def check(self, rows: Rows) -> None:
        got, wanted = (self.num_queries, self.num_keys), (rows.num_queries, rows.num_keys)
        if got != wanted:
            raise ShapeError(
                f"Edges was made for {got[0]} queries and {got[1]} keys, but the call has {wanted[0]} and {wanted[1]}."
            )

    def at(self, cells: Cells) -> Tensor:
        rows = self.unique_rows()
        return cells.listed(rows.queries(), rows.keys)


def _check_range(what: str, index: Tensor, size: int, name: str) -> None:
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= size:
        raise ShapeError(
            f"edge_index names {what} {low if low < 0 else high}, but {name} is {size}: indices run from 0 "
            f"to {size - 1}."
        )
