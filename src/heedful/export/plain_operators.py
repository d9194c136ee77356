"""What stands in an exported program in place of operators of Heedful's own, and of those that engines lack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from heedful.ops.backends.edges.attend import EdgePair, EdgeTensors, plain_attention
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.scores.additive import ACTIVATIONS


def additive_scores(query: Tensor, key: Tensor, vector: Tensor, activation: str) -> Tensor:
    """Σ_h v_h φ(a_qh + b_kh)."""
    hidden = ACTIVATIONS[activation](query[..., :, None, :] + key[..., None, :, :])
    return (hidden * vector[..., None, None, :]).sum(-1)


def stable_order(values: Tensor) -> Tensor:
    """Return the places of integers from the least to the greatest, equal ones as they stand.

    ONNX has no stable sort; numbers that all differ need none.

    >>> stable_order(torch.tensor([2, 0, 2, 0])).tolist()
    [1, 3, 0, 2]
    """
    count = values.shape[0]
    return (values * count + torch.arange(count)).argsort()


def edge_rows(
    keys: Tensor, queries: Tensor, num_queries: Any, num_keys: Any, how: str, loops: Any
) -> tuple[Tensor, ...]:
    """Return edges sorted by query: the first position of each, keys, places in the list, queries.

    With loops those of the list are replaced by one for each node: they go behind the last row, where no edge is read.
    """
    if how == "unique":
        raise NotImplementedError("edges that are sorted uniquely are masks, which export as masks")
    nodes = torch.arange(loops) if how == "loops" else keys.new_zeros(0)
    rows = torch.where(keys == queries, num_queries, queries) if how == "loops" else queries
    rows, keys = torch.cat([rows, nodes]), torch.cat([keys, nodes])
    order = stable_order(rows)
    rows = rows[order]
    counts = torch.zeros(num_queries + 2, dtype=torch.int64)
    start = counts.index_add(0, rows + 1, torch.ones_like(rows)).cumsum(0)[:-1]
    return start, keys[order].int(), order.int(), rows.clamp(max=num_queries - 1)


def edge_attention(
    start: Tensor,
    keys: Tensor,
    edges: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vector: Tensor | None,
    edge_features: Tensor | None,
    edge_weight: Tensor | None,
    bias: Tensor | None,
    kind: Any,
    negative_slope: float,
    edges_in_values: bool,
    *others: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Attend over edges on gathered features; the second tensor, of sums, and the third, of weights, are not read."""
    tensors = EdgeTensors(query, key, value, vector, edge_features, edge_weight, bias)
    pair = EdgePair(kind, negative_slope, edges_in_values)
    output, weights = plain_attention(CompressedRows(start, keys, edges), pair, tensors, None)
    return output, output[..., 0], weights


def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[Tensor, ...]:
    """Sum the rows of each bag."""
    assert mode == 0, "only sums are exported"
    count = indices.shape[0]
    # A bag begins after all those before it.
    begins = torch.zeros(count + 1, dtype=torch.int64)
    begins = begins.index_add(0, offsets, torch.ones_like(offsets))
    owners = begins[:count].cumsum(0) - 1
    rows = weight[indices]
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[:, None]
    # With a last offset the entries behind it are in no bag: they are added to a row that is left out.
    bags = weight.new_zeros(offsets.shape[0], weight.shape[1]).index_add(0, owners, rows)
    none = offsets.new_zeros(0)
    return bags[:-1] if include_last_offset else bags, none, none, none


def unfold(values: Tensor, axis: int, size: Any, step: Any) -> Tensor:
    """Return the windows of an axis, with a last axis of what is in each."""
    assert values.ndim == 1, "only samples are cut into frames"
    count = (values.shape[0] - size) // step + 1
    places = torch.arange(count)[:, None] * step + torch.arange(size)
    return values[places]


def remainder(values: Tensor, by: Any) -> Tensor:
    """Return the remainder of division by a number, which for ONNX has to be a tensor if it follows from a size."""
    return values.remainder(torch.full((), by, dtype=values.dtype))


_ATEN: Final = torch.ops.aten
PLAIN_OPERATORS: Final[Mapping[Any, Callable[..., Any]]] = {
    torch.ops.heedful.additive_scores.default: additive_scores,
    torch.ops.heedful.edge_rows.default: edge_rows,
    torch.ops.heedful.edge_attention.default: edge_attention,
    _ATEN._embedding_bag.default: embedding_bag,
    _ATEN._embedding_bag_forward_only.default: embedding_bag,
    _ATEN.unfold.default: unfold,
    _ATEN.remainder.Scalar: remainder,
}
"""Operator -> the same in plain operators."""
