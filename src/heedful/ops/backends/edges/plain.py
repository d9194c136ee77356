"""Attention on a graph by plain mathematics: the truth that the kernel is held to, and what serves where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.ops.csr.rows import CompressedRows


@dataclass(frozen=True)
class EdgePair:
    """How an edge's query and key become a score: Σqk, or Σ vector · φ(q + k)."""

    kind: Literal["dot", "leaky_relu", "tanh"]
    negative_slope: float = 0.2
    mixes_edges: bool = False
    """Whether an edge's projected features are added to its value too, as to its key."""


@dataclass(frozen=True, eq=False)
class EdgeTensors:
    """What attention on a graph is computed from; None where there is none."""

    query: Tensor
    """(batch, queries, heads, features), contiguous; key likewise; value with features of its own."""
    key: Tensor
    value: Tensor
    vector: Tensor | None = None
    """(heads, features): the weights of a sum over hidden features; None for an inner product."""
    edge_features: Tensor | None = None
    """(listed edges, edge features), in the order listed; their projection is added to the key of each edge."""
    edge_weight: Tensor | None = None
    """(edge features, heads, features): that projection."""
    bias: Tensor | None = None
    """(batch or 1, edges, heads), in the order of the compressed rows, added to scores; minus infinity hides."""

    @property
    def extra(self) -> int:
        """How many features an edge has."""
        return 0 if self.edge_features is None else self.edge_features.shape[1]

    def contiguous(self) -> EdgeTensors:
        """The same, without gaps in memory."""
        tensors = vars(self).values()
        made = (None if one is None else one.contiguous() for one in tensors)
        return EdgeTensors(*made)  # type: ignore[arg-type]


def plain_scores(rows: CompressedRows, pair: EdgePair, given: EdgeTensors) -> Tensor:
    """Scores, (batch, edges, heads)."""
    query = given.query[:, rows.queries()]
    key = given.key[:, rows.keys.long()]
    if given.edge_features is not None:
        key = key + projected_edges(rows, given)
    if pair.kind == "dot":
        scores = (query * key).sum(-1)
    else:
        hidden = query + key
        bent = hidden.tanh() if pair.kind == "tanh" else F.leaky_relu(hidden, pair.negative_slope)
        assert given.vector is not None
        scores = (bent * given.vector).sum(-1)
    if given.bias is None:
        return scores
    # What a bias of minus infinity hides may hold anything.
    return torch.where(given.bias == -torch.inf, -torch.inf, scores + given.bias)


def projected_edges(rows: CompressedRows, given: EdgeTensors) -> Tensor:
    """Projections of the edges' features, (edges, heads, features)."""
    assert given.edge_features is not None
    assert given.edge_weight is not None
    features, weight = given.edge_features[rows.edges.long()], given.edge_weight
    projected: Tensor = (features @ weight.flatten(1)).view(-1, *weight.shape[1:])
    return projected


def plain_softmax(rows: CompressedRows, scores: Tensor) -> Tensor:
    """Softmax over the edges of each query, (batch, edges, heads); all 0 where all scores are minus infinity."""
    index = rows.queries()
    shape = (scores.shape[0], rows.num_queries, scores.shape[2])
    places = index[None, :, None].expand_as(scores)
    highest = scores.new_full(shape, -torch.inf).scatter_reduce(1, places, scores.detach(), "amax")
    highest = torch.where(highest == -torch.inf, 0.0, highest)
    hidden = scores == -torch.inf
    below = torch.where(hidden, 0.0, scores - highest[:, index])
    weights = torch.where(hidden, 0.0, below.exp())
    total = scores.new_zeros(shape).index_add(1, index, weights)
    return weights / torch.where(total == 0, 1.0, total)[:, index]


def plain_mix(rows: CompressedRows, pair: EdgePair, given: EdgeTensors, weights: Tensor) -> Tensor:
    """Values summed by weights, (batch, queries, heads, values)."""
    value = given.value[:, rows.keys.long()]
    if pair.mixes_edges and given.edge_features is not None:
        value = value + projected_edges(rows, given)
    # A weight of 0 takes nothing, whatever the value holds.
    mixed = torch.where(weights[..., None] == 0, 0.0, weights[..., None] * value)
    shape = (value.shape[0], rows.num_queries, *value.shape[2:])
    return value.new_zeros(shape).index_add(1, rows.queries(), mixed)


def plain_attention(
    rows: CompressedRows, pair: EdgePair, given: EdgeTensors, keep: Tensor | None
) -> Tensor:
    """Scores, softmax, dropout by `keep` (batch, edges, heads; 0 or the growth) and mix."""
    weights = plain_softmax(rows, plain_scores(rows, pair, given))
    return plain_mix(rows, pair, given, weights if keep is None else weights * keep)
