"""The kernels of attention over edges as differentiable operators of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.edges.arguments import EdgePair, EdgeTensors
from heedful.ops.backends.edges.dropout import EdgeDropout, dropout_factors
from heedful.ops.backends.edges.launch import run_backward, run_forward
from heedful.ops.backends.edges.plain import plain_attention
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.jit.operators import Operator

TENSORS = slice(3, 10)
"""Where the tensors of `EdgeTensors` stand among the operator's arguments."""


def compiled_attention(
    rows: CompressedRows,
    pair: EdgePair,
    tensors: EdgeTensors,
    dropout: EdgeDropout,
    needs_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """Return output and, where needed, weights before dropout, computed by the kernels.

    The backward pass is a kernel too, and stores nothing that has features per edge. Where the weights receive a
    gradient, or a gradient must be differentiated, it computes all gradients by plain mathematics.

    Shapes: (batch, queries, heads, value features) and (batch, edges, heads). Tensors are float32 or float64, on
    the CPU.
    """
    # The operator takes a seed also where nothing is dropped; any int64 tensor will do.
    seed = rows.start[:1] if dropout.seed is None else dropout.seed
    output, _, weights = _attention(
        rows.start, rows.keys, rows.edges, *tensors.each(),
        pair.kind, pair.negative_slope, pair.edges_in_values, tensors.key is tensors.value,
        seed, dropout.probability, needs_weights,
    )  # fmt: skip
    return output, weights if needs_weights else None


def _split(
    arguments: Sequence[Any],
) -> tuple[CompressedRows, EdgePair, EdgeTensors, EdgeDropout, bool]:
    """Return rows, pair, tensors, dropout and whether key and value are one tensor."""
    kind, slope, edges_in_values, shared, seed, probability = arguments[10:16]
    return (
        CompressedRows(*arguments[:3]), EdgePair(kind, slope, edges_in_values), EdgeTensors(*arguments[TENSORS]),
        EdgeDropout(seed, probability), shared,
    )  # fmt: skip


def _forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    rows, pair, tensors, dropout, _ = _split(arguments)
    return run_forward(rows, pair, tensors.contiguous(), dropout, arguments[16])


def _fake_forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    keys, query, value, needs_weights = arguments[1], arguments[3], arguments[5], arguments[16]
    batch, _, heads, _ = query.shape
    shape = (batch, keys.shape[0], heads) if needs_weights else (0,)
    output = query.new_empty(*query.shape[:3], value.shape[3])
    return output, query.new_empty(query.shape[:3]), query.new_empty(shape)


def _gradients(*arguments: Any) -> tuple[Tensor, ...]:
    rows, pair, tensors, dropout, shared = _split(arguments)
    output, logsumexp, doutput = arguments[16:]
    results = (output, logsumexp, doutput.contiguous())
    return run_backward(rows, pair, tensors.contiguous(), dropout, results, shared)


def _fake_gradients(*arguments: Any) -> tuple[Tensor, ...]:
    query, shared = arguments[3], arguments[13]
    made = [query.new_empty(0 if tensor is None else tensor.shape) for tensor in arguments[TENSORS]]
    if shared:
        made[2] = query.new_empty(0)
    return tuple(made)


def _save(ctx: Any, inputs: Sequence[Any], output: Any) -> None:
    attended, logsumexp, _ = output
    seed, probability = inputs[14:16]
    ctx.save_for_backward(*inputs[:10], seed, attended, logsumexp)
    ctx.settings = (*inputs[10:14], probability)
    ctx.mark_non_differentiable(logsumexp)
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, doutput: Tensor | None, _: Tensor | None, dweights: Tensor | None
) -> tuple[Tensor | None, ...]:
    *held, seed, output, logsumexp = ctx.saved_tensors
    arguments = (*held, *ctx.settings[:4], seed, ctx.settings[4])
    found: Sequence[Tensor | None]
    if doutput is None and dweights is None:
        found = [None] * 7
    elif doutput is None or dweights is not None or torch.is_grad_enabled():
        found = _plain_gradients(arguments, doutput, dweights)
    else:
        made = _attention_backward(*arguments, output, logsumexp, doutput)
        lacking = [tensor is None for tensor in held[TENSORS]]
        lacking[2] = arguments[13]  # the gradient of key is that of value too
        found = [None if lacks else one for one, lacks in zip(made, lacking, strict=True)]
    wanted = ctx.needs_input_grad[TENSORS]
    chosen = (one if wants else None for one, wants in zip(found, wanted, strict=True))
    return (None, None, None, *chosen, *(None,) * 7)


def _plain_gradients(
    arguments: Sequence[Any], doutput: Tensor | None, dweights: Tensor | None
) -> Sequence[Tensor | None]:
    """Return the gradients of the seven tensors by plain mathematics, which autograd can differentiate."""
    upstream = [one for one in (doutput, dweights) if one is not None]

    def attention(*tensors: Tensor) -> list[Tensor]:
        inputs = (*arguments[:3], *tensors, *arguments[10:])
        rows, pair, own, dropout, _ = _split(inputs)
        factors = dropout_factors(dropout, rows.count, own.query)
        results = plain_attention(rows, pair, own, factors)
        chosen = zip(results, (doutput, dweights), strict=True)
        return [result for result, above in chosen if above is not None]

    return differentiable_gradients(attention, arguments[TENSORS], upstream)


_INPUTS = (
    "Tensor start, Tensor keys, Tensor edges, Tensor query, Tensor key, Tensor value, "
    "Tensor? vector, Tensor? edge_features, Tensor? edge_weight, Tensor? bias, "
    "str kind, float negative_slope, bool edges_in_values, bool shared, Tensor seed, float dropout_p"
)
_attention = Operator(
    f"edge_attention({_INPUTS}, bool needs_weights) -> (Tensor, Tensor, Tensor)",
    _forward,
    _fake_forward,
    _save,
    _backward,
)
_attention_backward = Operator(
    f"edge_attention_backward({_INPUTS}, Tensor output, Tensor logsumexp, Tensor direction) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _gradients,
    _fake_gradients,
)
