"""Features of the nodes of whole graphs, padded to the largest."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from heedful.models.encoders.nodes import PreparedEdges, RowFeatures


class GraphBatch(NamedTuple):
    """Graphs, each an example; the rows of their nodes follow one another."""

    numbers: Tensor
    """(nodes, numbers), standardized."""
    start: Tensor
    """(nodes,), long: the first of the entries of each node."""
    entries: Tensor
    """(entries,), long: words and categories."""
    values: Tensor
    """(entries,): the weight of each."""
    lengths: Tensor
    """(graphs,), long: nodes of each."""
    places: Tensor
    """(nodes,), long: node i of graph g is at g · length + i, where the largest graph has length nodes."""
    edges: PreparedEdges
    """Between these places."""


class GraphFeatures(RowFeatures):
    """A `GraphBatch` -> (graphs, length, width), 0 at padding; arguments as for `RowFeatures`.

    >>> import torch
    >>> from heedful.models.encoders.nodes import NodesConfig
    >>> from heedful.ops.masks import Edges
    >>> features = GraphFeatures(NodesConfig(width=4), 2, 0, 0)
    >>> zero, edges = torch.zeros(3, dtype=torch.long), PreparedEdges(Edges(torch.tensor([[0], [1]]), 4, 4))
    >>> batch = GraphBatch(torch.ones(3, 2), zero, zero[:0], torch.zeros(0), torch.tensor([2, 1]),
    ...     torch.tensor([0, 1, 2]), edges)
    >>> features(batch).shape
    torch.Size([2, 2, 4])
    """

    def forward(self, batch: GraphBatch) -> Tensor:
        rows = self.rows(batch)
        size = batch.edges.edges.num_queries
        padded = rows.new_zeros(size, self.width).index_copy(0, batch.places, rows)
        return padded.view(batch.lengths.shape[0], -1, self.width)
