"""Attention over edges in plain PyTorch operations: the reference for the kernels, and used where they cannot run."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.ops.backends.edges.arguments import EdgePair, EdgeTensors
from heedful.ops.csr.rows import CompressedRows


def plain_scores(rows: CompressedRows, pair: EdgePair, tensors: EdgeTensors) -> Tensor:
    """Return the scores, (batch, edges, heads); minus infinity where the bias is, and at positions of no edge."""
    query = tensors.query[:, rows.queries()]
    key = tensors.key[:, rows.keys.long()]
    if tensors.edge_features is not None:
        key = key + projected_features(rows, tensors)
    if pair.kind == "dot":
        scores = (query * key).sum(-1)
    else:
        hidden = query + key
        if pair.kind == "tanh":
            activated = hidden.tanh()
        else:
            activated = F.leaky_relu(hidden, pair.negative_slope)
        assert tensors.vector is not None
        scores = (activated * tensors.vector).sum(-1)
    seen = rows.hold_edges()[:, None]
    if tensors.bias is None:
        return torch.where(seen, scores, -torch.inf)
    # Not a sum: the score of a hidden edge may be NaN.
    return torch.where(seen & (tensors.bias != -torch.inf), scores + tensors.bias, -torch.inf)


def projected_features(rows: CompressedRows, tensors: EdgeTensors) -> Tensor:
    """Return the projected edge features in the order of the rows, (edges, heads, features)."""
    assert tensors.edge_features is not None
    assert tensors.edge_weight is not None
    features, weight = tensors.edge_features[rows.edges.long()], tensors.edge_weight
    projected: Tensor = (features @ weight.flatten(1)).view(-1, *weight.shape[1:])
    return projected


def plain_softmax(rows: CompressedRows, scores: Tensor) -> Tensor:
    """Return the softmax over the edges of each query, (batch, edges, heads); 0 where all are minus infinity."""
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


def plain_mix(
    rows: CompressedRows, pair: EdgePair, tensors: EdgeTensors, weights: Tensor
) -> Tensor:
    """Return the sums of values by weights, (batch, queries, heads, value features)."""
    value = tensors.value[:, rows.keys.long()]
    if pair.edges_in_values and tensors.edge_features is not None:
        value = value + projected_features(rows, tensors)
    # A value of weight 0 may be NaN.
    mixed = torch.where(weights[..., None] == 0, 0.0, weights[..., None] * value)
    shape = (value.shape[0], rows.num_queries, *value.shape[2:])
    return value.new_zeros(shape).index_add(1, rows.queries(), mixed)


def plain_attention(
    rows: CompressedRows, pair: EdgePair, tensors: EdgeTensors, factors: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return output, (batch, queries, heads, value features), and weights before dropout, (batch, edges, heads).

    `factors` (batch, edges, heads) are the factors of dropout, or None.
    """
    weights = plain_softmax(rows, plain_scores(rows, pair, tensors))
    dropped = weights if factors is None else weights * factors
    return plain_mix(rows, pair, tensors, dropped), weights
