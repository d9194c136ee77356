"""Hands attention on a graph to its kernels, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from heedful.ops.backends.additive.scores_forward import LANES
from heedful.ops.backends.edges.backward import backward_space, edges_backward
from heedful.ops.backends.edges.dropout import Dropping
from heedful.ops.backends.edges.forward import edges_forward, forward_space
from heedful.ops.backends.edges.pair import DOT, LEAKY_RELU, TANH, TANH_OF_EXPONENTIALS
from heedful.ops.backends.edges.plain import EdgePair, EdgeTensors
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.jit.kernel import launch, parts_for
from heedful.ops.jit.source import Compiled

NANOSECONDS, EDGE_NANOSECONDS, BACKWARD = 0.13, 11.0, 2.2
"""What a feature of an edge and the edge itself take forward on one thread, and how many times as long backward."""
HIDDEN_NANOSECONDS = 0.6
"""What a feature takes that goes through tanh or the leaky rectifier."""
KINDS = {"dot": DOT, "leaky_relu": LEAKY_RELU, "tanh": TANH}
SAFE_EXPONENT = {torch.float32: 40.0, torch.float64: 350.0}
"""Up to this size e^2x is finite in each dtype the kernels know."""


def run_forward(
    rows: CompressedRows, pair: EdgePair, given: EdgeTensors, dropped: Dropping
) -> tuple[Tensor, Tensor]:
    """Output (batch, queries, heads, values) and logsumexp (batch, queries, heads)."""
    batch, queries, heads, width = given.query.shape
    output = given.query.new_empty(batch, queries, heads, given.value.shape[3])
    logsumexp = given.query.new_empty(batch, queries, heads)
    work = _work(rows, pair, given)
    parts = parts_for(work)
    spaces = given.query.new_empty(parts, forward_space(heads, width, given.extra))
    kernel, arguments = _prepared(edges_forward, rows, pair, given, dropped)
    launch(kernel, *arguments, output.view(-1), logsumexp.view(-1), spaces, work=work, parts=parts)
    return output, logsumexp


def run_backward(
    rows: CompressedRows,
    pair: EdgePair,
    given: EdgeTensors,
    shared: bool,
    dropped: Dropping,
    after: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, ...]:
    """Gradients of all seven tensors, empty where there is no tensor.

    `after` are output, logsumexp and the gradient of the output. Where key and value are one tensor (`shared`), its
    whole gradient is the key's, and the value's is empty.
    """
    _, _, heads, width = given.query.shape
    query, key, value, vector, edge_features, edge_weight, bias = vars(given).values()
    work = BACKWARD * _work(rows, pair, given)
    # Each part has sums of its own for the keys; to clear and add them up costs about what half an edge a key costs.
    parts = min(parts_for(work), max(2, 2 * rows.count // max(key.shape[1], 1)))
    dquery, dkeys = torch.empty_like(query), key.new_zeros(parts, key.numel())
    dvalues = dkeys if shared else value.new_zeros(parts, value.numel())
    dvectors = query.new_zeros(parts, heads * width)
    dweights = query.new_zeros(parts, 0 if edge_weight is None else edge_weight.numel())
    dfeatures, dbias = (torch.zeros_like(_or_empty(one, query)) for one in (edge_features, bias))
    kernel, arguments = _prepared(edges_backward, rows, pair, given, dropped)
    launch(
        kernel, *arguments, *(tensor.view(-1) for tensor in after),
        query.new_empty(parts, backward_space(heads, width, given.extra)), dquery.view(-1), dkeys, dvalues,
        dvectors, dfeatures.view(-1), dweights, dbias.view(-1), work=work, parts=parts,
    )  # fmt: skip
    empty = query.new_empty(0)
    return (
        dquery,
        _summed(dkeys, key),
        empty if shared else _summed(dvalues, value),
        empty if vector is None else _summed(dvectors, vector),
        dfeatures,
        empty if edge_weight is None else _summed(dweights, edge_weight),
        dbias,
    )


def _prepared(
    build: Callable[[int, bool, bool, bool], Compiled],
    rows: CompressedRows,
    pair: EdgePair,
    given: EdgeTensors,
    dropped: Dropping,
) -> tuple[Compiled, tuple[Tensor | int | float, ...]]:
    """The kernel for a call, and the arguments that forward and backward share."""
    query, key, value, vector, edge_features, edge_weight, bias = vars(given).values()
    batch, queries, heads, width = query.shape
    mixed, extra = value.shape[3], given.extra
    kind = KINDS[pair.kind]
    if kind == TANH and not extra and _in_range(query, key):
        # tanh(q + k) = 1 - 2 / (1 + e^2q e^2k): no function is left to compute for a pair.
        kind, query, key = TANH_OF_EXPONENTIALS, (2 * query).exp(), (2 * key).exp()
    plain = not extra and bias is None and not dropped.probability
    kernel = build(kind, width % LANES == 0 and kind != TANH, mixed % LANES == 0, plain)
    tensors = [
        _or_empty(one, query).view(-1)
        for one in (query, key, value, vector, edge_features, edge_weight)
    ]
    bias_step = 0 if bias is None or bias.shape[0] == 1 else bias[0].numel()
    seed = rows.start if dropped.seed is None else dropped.seed  # any number, where none is read
    return kernel, (
        rows.start, rows.keys, rows.edges, batch, queries, key.shape[1], heads, width, mixed, extra,
        pair.negative_slope, *tensors, int(pair.mixes_edges and extra > 0), int(key is not value),
        _or_empty(bias, query).view(-1), bias_step, seed, dropped.limit, dropped.growth,
    )  # fmt: skip


def _in_range(query: Tensor, key: Tensor) -> bool:
    if not query.numel() or not key.numel():
        return True
    largest = torch.stack([query.abs().amax(), key.abs().amax()])
    return bool((largest <= SAFE_EXPONENT[query.dtype]).all())


def _or_empty(tensor: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if tensor is None else tensor


def _summed(parts: Tensor, like: Tensor) -> Tensor:
    return (parts[0] if parts.shape[0] == 1 else parts.sum(0)).view_as(like)


def _work(rows: CompressedRows, pair: EdgePair, given: EdgeTensors) -> float:
    """Nanoseconds forward on one thread."""
    batch, _, heads, width = given.query.shape
    each = NANOSECONDS if pair.kind == "dot" else HIDDEN_NANOSECONDS
    features = width * (each + given.extra * NANOSECONDS) + given.value.shape[3] * NANOSECONDS
    return batch * rows.count * heads * (features + EDGE_NANOSECONDS)
