"""A mask given as a list of edges: attention on a graph."""

from __future__ import annotations

from contextlib import nullcontext
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
    is_compiling_for_cpu,
)
from heedful.ops.masks.base import Mask
from heedful.ops.rows import Rows
from heedful.ops.validate import validate_tensor


@dataclass(frozen=True, eq=False)
class Edges(Mask):
    """Query i may attend to key j where the edge j → i is listed. As a mask, an edge listed twice counts once.

    The edges are sorted when first needed, and kept so: a graph that is used again is not sorted again.

    Args:
        edge_index: (2, edges), int64 or int32; row 0 the source (key), row 1 the target (query), as in PyTorch
            Geometric.
        num_queries: how many target nodes there are.
        num_keys: how many source nodes there are.

    Raises:
        ShapeError: another shape, or an index outside `num_keys` or `num_queries`.
        DtypeError: another dtype.

    >>> import torch
    >>> Edges(torch.tensor([[0, 1], [1, 1]]), num_queries=2, num_keys=3).dense(2, 3).int().tolist()
    [[0, 0, 0], [1, 1, 0]]
    """

    edge_index: Tensor
    num_queries: int
    num_keys: int
    _sorted: dict[tuple[str, int | None], CompressedRows] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        index = self.edge_index
        validate_tensor("edge_index", index, "(2, edges)")
        if index.dtype not in (torch.int64, torch.int32):
            raise DtypeError(f"edge_index is {index.dtype}; it holds indices, so make it int64.")
        if index.ndim != 2 or index.shape[0] != 2:
            raise ShapeError(
                f"edge_index has shape {tuple(index.shape)}; it wants (2, edges): sources (keys), then targets "
                f"(queries)."
            )
        # In a traced program, the operator that sorts the edges checks them.
        if not is_compiling_for_cpu(index):
            check_range("source (key)", index[0], self.num_keys, "num_keys")
            check_range("target (query)", index[1], self.num_queries, "num_queries")

    @classmethod
    def of_adjacency(cls, adjacency: Tensor) -> Edges:
        """The edges of a sparse matrix (queries, keys), PyTorch Geometric's `adj_t`; values do not matter.

        Raises:
            DtypeError: no sparse matrix in the layout COO, CSR or CSC.

        >>> matrix = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]).to_sparse()
        >>> Edges.of_adjacency(matrix).edge_index.tolist()
        [[0, 1], [1, 1]]
        """
        return edges_of_adjacency(adjacency)[0]

    def rows(self) -> CompressedRows:
        """Return the edges sorted by query; one listed twice stays twice. Computed once."""
        return self._rows("listed")

    def rows_with_loops(self) -> CompressedRows:
        """Return the edges sorted by query, with exactly one self loop for each node that is both query and key.

        The indices of the loops begin at the number of edges. Computed once.
        """
        return self._rows("loops")

    def unique_rows(self) -> CompressedRows:
        """Return the edges sorted by query and then key, each once: the cells of the mask. Computed once."""
        return self._rows("unique")

    def _rows(self, how: str) -> CompressedRows:
        if is_compiling_for_cpu(self.edge_index):
            return self._sort(how)  # a value of the traced program
        # An in-place change raises the version of a tensor; inference tensors have none.
        index = self.edge_index
        key = how, None if index.is_inference() else index._version
        if key not in self._sorted:
            # Of what is made in inference mode, autograd could save nothing later.
            with (
                torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()
            ):
                rows = self._sort(how)
                rows.queries()
            self._sorted[key] = rows
        return self._sorted[key]

    def _sort(self, how: str) -> CompressedRows:
        keys, queries, sizes = *self.edge_index, (self.num_queries, self.num_keys)
        if how == "unique":
            return compress_unique(keys, queries, *sizes)
        loops = min(sizes) if how == "loops" else None
        return compress(keys, queries, self.num_queries, loops, self.num_keys)

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


def edges_of_adjacency(adjacency: Tensor) -> tuple[Edges, Tensor]:
    """The edges of a sparse matrix (queries, keys) in the order of its rows, and their values, (edges,) or more axes.

    Raises:
        DtypeError: no sparse matrix in the layout COO, CSR or CSC.
    """
    layouts = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)
    if not isinstance(adjacency, Tensor) or adjacency.layout not in layouts:
        got = adjacency.layout if isinstance(adjacency, Tensor) else type(adjacency).__name__
        raise DtypeError(
            f"the adjacency is {got}; give a sparse matrix (targets, sources) in the layout COO, CSR or CSC, such as "
            f"matrix.to_sparse(), or edge_index (2, edges)."
        )
    if adjacency.layout != torch.sparse_coo:
        adjacency = adjacency.to_sparse_coo()
    adjacency = adjacency.coalesce()
    queries, keys = adjacency.indices()
    return Edges(torch.stack([keys, queries]), *adjacency.shape[:2]), adjacency.values()
