"""A mask given as a list of edges: attention on a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.errors import DtypeError, ShapeError
from heedful.ops.cells import Cells
from heedful.ops.csr.rows import (
    CompressedRows,
    check_range,
    compress,
    compress_unique,
    is_traced,
)
from heedful.ops.masks.base import Mask
from heedful.ops.rows import Rows
from heedful.ops.validate import expect_tensor


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
        if not is_traced(index):  # traced, the operator that sorts them looks
            check_range("source (key)", index[0], self.num_keys, "num_keys")
            check_range("target (query)", index[1], self.num_queries, "num_queries")

    def rows(self) -> CompressedRows:
        """The edges sorted by query; one listed twice stays twice. Computed once."""
        return self._rows("listed")

    def rows_with_loops(self) -> CompressedRows:
        """The same with exactly one edge from each node to itself, numbered from the number of edges on.

        Where there are more queries than keys or fewer, the nodes are those that are both.
        """
        return self._rows("loops")

    def unique_rows(self) -> CompressedRows:
        """The edges sorted by query and then key, each once: what the mask means. Computed once."""
        return self._rows("unique")

    def _rows(self, how: str) -> CompressedRows:
        if how in self._made:
            return self._made[how]
        keys, queries, sizes = *self.edge_index, (self.num_queries, self.num_keys)
        if how == "unique":
            made = compress_unique(keys, queries, *sizes)
        else:
            loops = min(sizes) if how == "loops" else None
            made = compress(keys, queries, self.num_queries, loops, self.num_keys)
        if not is_traced(self.edge_index):  # what one traced program sorts is its own
            self._made[how] = made
        return made

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
