"""Launches the kernels of attention over edges, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from heedful.ops.backends.edges.arguments import EdgePair, EdgeTensors
from heedful.ops.backends.edges.backward import backward_workspace, edges_backward
from heedful.ops.backends.edges.dropout import EdgeDropout
from heedful.ops.backends.edges.forward import edges_forward, forward_workspace
from heedful.ops.backends.edges.pair import DOT, LEAKY_RELU, TANH, TANH_OF_EXPONENTIALS
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.jit.kernel import launch, parts_for
from heedful.ops.jit.scratch import whole_lines
from heedful.ops.jit.source import LANES, Compiled

FEATURE_NANOSECONDS, HIDDEN_NANOSECONDS, EDGE_NANOSECONDS = 0.13, 0.6, 11.0
"""Forward time of one thread for a feature of an edge, for one that goes through tanh or LeakyReLU, and for an edge."""
BACKWARD_FACTOR = 2.2
"""How many times as long as the forward pass the backward pass takes."""
KINDS = {"dot": DOT, "leaky_relu": LEAKY_RELU, "tanh": TANH}
SAFE_EXPONENT = {torch.float32: 40.0, torch.float64: 350.0}
"""The dtypes of the kernels. Up to this x, e^2x is finite in each."""


def run_forward(
    rows: CompressedRows,
    pair: EdgePair,
    tensors: EdgeTensors,
    dropout: EdgeDropout,
    needs_weights: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return output, logsumexp and weights.

    Shapes: (batch, queries, heads, value features), (batch, queries, heads), and (batch, edges, heads), before
    dropout, or (0,) where they are not needed. A position of no edge (see `CompressedRows`) has weight 0.
    """
    batch, queries, heads, width = tensors.query.shape
    output = tensors.query.new_empty(batch, queries, heads, tensors.value.shape[3])
    logsumexp = tensors.query.new_empty(batch, queries, heads)
    shape = (batch, rows.count, heads) if needs_weights else (0,)
    weights = tensors.query.new_zeros(shape)
    work = nanoseconds(rows, pair, tensors)
    parts = parts_for(work)
    room = whole_lines(forward_workspace(heads, width, tensors.edge_dim))
    workspaces = tensors.query.new_empty(parts, room)
    kernel, arguments = prepared(edges_forward, rows, pair, tensors, dropout)
    launch(
        kernel, *arguments, output.view(-1), logsumexp.view(-1), weights.view(-1) if needs_weights else None,
        workspaces, work=work, parts=parts,
    )  # fmt: skip
    return output, logsumexp, weights


def run_backward(
    rows: CompressedRows,
    pair: EdgePair,
    tensors: EdgeTensors,
    dropout: EdgeDropout,
    results: tuple[Tensor, Tensor, Tensor],
    shared: bool,
) -> tuple[Tensor, ...]:
    """Return the gradients of all seven tensors, empty where there is none.

    Args:
        rows, pair, tensors, dropout: as in the forward pass.
        results: output, logsumexp and the gradient of the output.
        shared: whether key and value are one tensor. Then the gradient of key is its whole gradient, and that of
            value is empty.
    """
    _, _, heads, width = tensors.query.shape
    query, key, value, vector, edge_features, edge_weight, bias = tensors.each()
    work = BACKWARD_FACTOR * nanoseconds(rows, pair, tensors)
    # Each part sums the gradients of all keys in memory of its own: clearing and adding them costs half an edge a key.
    parts = min(parts_for(work), max(2, 2 * rows.count // max(key.shape[1], 1)))
    dquery, dkeys = torch.empty_like(query), zeros_of_parts(parts, key.numel(), query)
    dvalues = dkeys if shared else zeros_of_parts(parts, value.numel(), query)
    dvectors = zeros_of_parts(parts, heads * width, query)
    dweights = zeros_of_parts(parts, 0 if edge_weight is None else edge_weight.numel(), query)
    dfeatures, dbias = (torch.zeros_like(or_empty(one, query)) for one in (edge_features, bias))
    room = whole_lines(backward_workspace(heads, width, tensors.edge_dim))
    workspaces = query.new_empty(parts, room)
    kernel, arguments = prepared(edges_backward, rows, pair, tensors, dropout)
    launch(
        kernel, *arguments, *(one.view(-1) for one in results), workspaces, dquery.view(-1), dkeys, dvalues,
        dvectors, dfeatures.view(-1), dweights, dbias.view(-1), work=work, parts=parts,
    )  # fmt: skip
    empty = query.new_empty(0)
    return (
        dquery,
        summed(dkeys, key),
        empty if shared else summed(dvalues, value),
        empty if vector is None else summed(dvectors, vector),
        dfeatures,
        empty if edge_weight is None else summed(dweights, edge_weight),
        dbias,
    )


def prepared(
    build: Callable[[int, bool, bool, bool], Compiled],
    rows: CompressedRows,
    pair: EdgePair,
    tensors: EdgeTensors,
    dropout: EdgeDropout,
) -> tuple[Compiled, tuple[Tensor | int | float, ...]]:
    """Return the kernel for a call, and the arguments that forward and backward share."""
    query, key, value, vector, edge_features, edge_weight, bias = tensors.each()
    batch, queries, heads, width = query.shape
    value_width, edge_dim = value.shape[3], tensors.edge_dim
    kind = KINDS[pair.kind]
    if kind == TANH and not edge_dim and _in_range(query, key):
        # tanh(q + k) = 1 - 2 / (1 + e^2q e^2k): no transcendental function is left to compute per edge.
        kind, query, key = TANH_OF_EXPONENTIALS, (2 * query).exp(), (2 * key).exp()
    simple = not edge_dim and bias is None and not dropout.probability
    # No features are no lanes either: the first lanes of a sum are stored, not added.
    lanes, value_lanes = (size > 0 and size % LANES == 0 for size in (width, value_width))
    kernel = build(kind, lanes and kind != TANH, value_lanes, simple)
    flat = [
        or_empty(one, query).view(-1)
        for one in (query, key, value, vector, edge_features, edge_weight)
    ]
    bias_step = 0 if bias is None or bias.shape[0] == 1 else bias[0].numel()
    # The kernel reads no seed where nothing is dropped, but takes one.
    seed = rows.start if dropout.seed is None else dropout.seed
    return kernel, (
        rows.start, rows.keys, rows.edges, batch, queries, key.shape[1], heads, width, value_width, edge_dim,
        pair.negative_slope, *flat, int(pair.edges_in_values and edge_dim > 0), int(key is not value),
        or_empty(bias, query).view(-1), bias_step, seed, dropout.limit, dropout.scale,
    )  # fmt: skip


def _in_range(query: Tensor, key: Tensor) -> bool:
    if not query.numel() or not key.numel():
        return True
    largest = torch.stack([query.abs().amax(), key.abs().amax()])
    return bool((largest <= SAFE_EXPONENT[query.dtype]).all())


def or_empty(tensor: Tensor | None, like: Tensor) -> Tensor:
    """The tensor, or none of its numbers where there is none."""
    return like.new_empty(0) if tensor is None else tensor


def zeros_of_parts(parts: int, numbers: int, like: Tensor) -> Tensor:
    """Zeros for each part, (parts, numbers or more): no two rows share a cache line."""
    return like.new_zeros(parts, numbers if parts == 1 else whole_lines(numbers))


def summed(parts: Tensor, like: Tensor) -> Tensor:
    """The sum of what the parts wrote, in the shape of the tensor it is the gradient of."""
    parts = parts[:, : like.numel()]
    return (parts[0] if parts.shape[0] == 1 else parts.sum(0)).view_as(like)


def nanoseconds(rows: CompressedRows, pair: EdgePair, tensors: EdgeTensors) -> float:
    """Return the estimated forward time on one thread."""
    batch, _, heads, width = tensors.query.shape
    each = FEATURE_NANOSECONDS if pair.kind == "dot" else HIDDEN_NANOSECONDS
    key_features = width * (each + tensors.edge_dim * FEATURE_NANOSECONDS)
    value_features = tensors.value.shape[3] * FEATURE_NANOSECONDS
    return batch * rows.count * heads * (key_features + value_features + EDGE_NANOSECONDS)
