"""Features of the nodes of a graph: a linear map of numbers, and a learned embedding of each word and category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import Section
from heedful.models.encoders.base import GraphEdges, States
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.ops.masks import Edges


class NodesConfig(Section):
    """Features of nodes and edges."""

    width: int = Field(64, ge=1, description="Features of a node.")
    dropout: float = Field(
        0.6, ge=0, lt=1, description="Probability of dropping a word or a category of a node."
    )
    categories: tuple[str, ...] = Field(
        (), description="Columns that are categories, whatever they look like, such as codes."
    )
    texts: tuple[str, ...] = Field((), description="Columns that are texts, read as sets of words.")
    min_frequency: int = Field(
        2, ge=1, description="Nodes in which a word or category must occur to have an embedding."
    )
    edge_features: bool = Field(
        True, description="Whether the further columns of the edges are part of the score."
    )


@dataclass(frozen=True, eq=False)
class PreparedEdges:
    """The edges of a batch, sorted once, and their features."""

    edges: Edges
    features: Tensor | None = None
    """(edges, features)."""

    def to(self, device: torch.device, dtype: torch.dtype) -> PreparedEdges:
        """Return the edges on a device, their features in a precision."""
        features = None if self.features is None else self.features.to(device, dtype)
        index = self.edges.edge_index
        if index.device == device:  # they stay sorted
            return PreparedEdges(self.edges, features)
        moved = Edges(index.to(device), self.edges.num_queries, self.edges.num_keys)
        return PreparedEdges(moved, features)


class NodeBatch(NamedTuple):
    """Some nodes to be answered, and what a model reads for it: a graph, or nodes by themselves."""

    numbers: Tensor
    """(nodes, numbers), standardized."""
    start: Tensor
    """(nodes,), long: the first of the entries of each node."""
    entries: Tensor
    """(entries,), long: words and categories."""
    values: Tensor
    """(entries,): the weight of each."""
    lengths: Tensor
    """(1,): the number of nodes, of a graph; (nodes,), 1 each, without edges."""
    answered: Tensor
    """(answers,) or (answers, nodes), long: the places of the nodes to be answered, one or several each."""
    edges: PreparedEdges


class RowFeatures(nn.Module):
    r"""Numbers, words and categories of nodes -> (nodes, width).

    .. math:: x_i = W n_i + \sum_k v_{ik} E[c_{ik}]

    n are the numbers of the node, c its words and categories and v their weights. Dropout sets entries to 0, not
    features: of a bag of words hardly any is not 0, so few random numbers are drawn. The product with the sparse matrix
    of all entries is never made dense.

    Args:
        config: the options.
        numbers: how many numbers a node has.
        entries: how many words and categories there are.
        edge_width: features of an edge.
    """

    def __init__(self, config: NodesConfig, numbers: int, entries: int, edge_width: int):
        super().__init__()
        self.width, self.edge_width = config.width, edge_width
        self.numbers = Linear(numbers, config.width) if numbers else None
        self.table = nn.Parameter(torch.empty(entries, config.width)) if entries else None
        if self.table is not None:
            nn.init.xavier_uniform_(self.table)
        self.dropout = Dropout(config.dropout)

    def rows(self, batch: Any) -> Tensor:
        """Return the features of each node of a batch, which has numbers, start, entries and values."""
        total: Tensor = batch.numbers.new_zeros(1)
        if self.numbers is not None:
            total = total + self.numbers(batch.numbers)
        if self.table is not None:
            weights = self.dropout(batch.values).to(self.table.dtype)
            total = total + F.embedding_bag(
                batch.entries, self.table, batch.start, mode="sum", per_sample_weights=weights
            )
        return total

    def edges(self, batch: Any) -> GraphEdges:
        """Return the edges of the batch."""
        return GraphEdges(batch.edges.edges, batch.edges.features)


class NodeFeatures(RowFeatures):
    r"""A `NodeBatch` -> (graphs, nodes, width); arguments as for `RowFeatures`.

    >>> features = NodeFeatures(NodesConfig(width=4), 2, 5, 0)
    >>> zero = torch.zeros(0, dtype=torch.long)
    >>> edges = PreparedEdges(Edges(torch.tensor([[0], [1]]), 3, 3))
    >>> batch = NodeBatch(torch.ones(3, 2), zero.new_zeros(3), zero, torch.zeros(0), torch.tensor([3]),
    ...     torch.tensor([1]), edges)
    >>> features(batch).shape
    torch.Size([1, 3, 4])
    """

    def forward(self, batch: NodeBatch) -> Tensor:
        return self.rows(batch).view(batch.lengths.shape[0], -1, self.width)

    def answered(self, states: States, batch: NodeBatch) -> States:
        """Return the states of the nodes to be answered, a sequence for each answer."""
        places = batch.answered.view(batch.answered.shape[0], -1)
        chosen = states.values.flatten(0, 1)[places]
        lengths = torch.full_like(places[:, 0], places.shape[1])
        return States(chosen, lengths, (chosen[:, 0][None],))
