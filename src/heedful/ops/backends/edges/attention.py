"""Attention on a graph: the kernels as differentiable operators, or plain mathematics where they cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.edges.dropout import NEVER, Dropping, kept
from heedful.ops.backends.edges.launch import SAFE_EXPONENT, run_backward, run_forward
from heedful.ops.backends.edges.plain import EdgePair, EdgeTensors, plain_attention
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.double_backward import alias_for_grad
from heedful.ops.finite import inside_func
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import Operator


def attend_edges(
    rows: CompressedRows, pair: EdgePair, given: EdgeTensors, dropped: Dropping = NEVER
) -> tuple[Tensor, Tensor | None]:
    """Softmax attention over the edges of each query; second derivatives go through plain mathematics.

    Returns the output, (batch, queries, heads, values), and, where a kernel computed it, the logsumexp of each
    row's scores, (batch, queries, heads); a row without edges has output 0.
    """
    if not kernels_serve(given):
        keep = None if dropped.seed is None else kept(dropped, rows.count, given.query)
        return plain_attention(rows, pair, given, keep), None
    seed = rows.start[:1] if dropped.seed is None else dropped.seed
    output, logsumexp = _attention(
        rows.start, rows.keys, rows.edges, *vars(given).values(),
        pair.kind, pair.negative_slope, pair.mixes_edges, given.key is given.value,
        seed, dropped.probability,
    )  # fmt: skip
    return output, logsumexp


def kernels_serve(given: EdgeTensors) -> bool:
    """Whether these tensors can go to a compiled kernel."""
    query = given.query
    fits = query.is_cpu and query.dtype in SAFE_EXPONENT and not inside_func()
    return fits and unavailable() is None


def _split(
    arguments: Sequence[Any],
) -> tuple[CompressedRows, EdgePair, EdgeTensors, bool, Dropping]:
    start, keys, edges, *tensors = arguments[:10]
    kind, slope, mixes, shared, seed, probability = arguments[10:16]
    return (
        CompressedRows(start, keys, edges), EdgePair(kind, slope, mixes), EdgeTensors(*tensors),
        shared, Dropping(seed, probability),
    )  # fmt: skip


def _forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    rows, pair, given, _, dropped = _split(arguments)
    return run_forward(rows, pair, given.contiguous(), dropped)


def _fake_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    query, value = arguments[3], arguments[5]
    return query.new_empty(*query.shape[:3], value.shape[3]), query.new_empty(query.shape[:3])


def _gradients(*arguments: Any) -> tuple[Tensor, ...]:
    rows, pair, given, shared, dropped = _split(arguments)
    output, logsumexp, direction = arguments[16:]
    after = (output, logsumexp, direction.contiguous())
    return run_backward(rows, pair, given.contiguous(), shared, dropped, after)


def _fake_gradients(*arguments: Any) -> tuple[Tensor, ...]:
    tensors, shared = arguments[3:10], arguments[13]
    query = arguments[3]
    wanted = [
        query.new_empty(0 if tensor is None else tensor.shape)
        for tensor in tensors
    ]  # fmt: skip
    if shared:
        wanted[2] = query.new_empty(0)
    return tuple(wanted)


def _keep(ctx: Any, inputs: Sequence[Any], output: Any) -> None:
    ctx.save_for_backward(*inputs[:10], inputs[14], *output)
    ctx.settings = (*inputs[10:14], inputs[15])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, direction: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    *held, seed, output, logsumexp = ctx.saved_tensors
    arguments = (*held, *ctx.settings[:4], seed, ctx.settings[4])
    wanted = ctx.needs_input_grad[3:10]
    if direction is None:
        found: Sequence[Tensor | None] = [None] * 7
    elif torch.is_grad_enabled():
        found = _differentiable(arguments, wanted, direction)
    else:
        found = _attention_backward(*arguments, output, logsumexp, direction)
        lacking = [tensor is None for tensor in held[3:]]
        lacking[2] = arguments[
            13
        ]  # key and value are one tensor, and its whole gradient is the key's
        found = [None if lacks else one for one, lacks in zip(found, lacking, strict=True)]
    chosen = (one if wants else None for one, wants in zip(found, wanted, strict=True))
    return (None, None, None, *chosen, *(None,) * 6)


def _differentiable(
    arguments: Sequence[Any], wanted: Sequence[bool], direction: Tensor
) -> list[Tensor | None]:
    """Gradients by plain mathematics, which can themselves be differentiated."""
    own = [alias_for_grad(one) if isinstance(one, Tensor) else one for one in arguments]
    rows, pair, given, _, dropped = _split(own)
    keep = None if not dropped.probability else kept(dropped, rows.count, given.query)
    output = plain_attention(rows, pair, given, keep)
    tensors = vars(given).values()
    asked = [tensor for tensor, wants in zip(tensors, wanted, strict=True) if wants]
    found = iter(
        torch.autograd.grad(output, asked, direction, create_graph=True, allow_unused=True)
    )
    return [next(found) if wants else None for wants in wanted]


_INPUTS = (
    "Tensor start, Tensor keys, Tensor edges, Tensor query, Tensor key, Tensor value, "
    "Tensor? vector, Tensor? edge_features, Tensor? edge_weight, Tensor? bias, "
    "str kind, float negative_slope, bool mixes_edges, bool shared, Tensor seed, float dropout_p"
)
_attention = Operator(
    f"edge_attention({_INPUTS}) -> (Tensor, Tensor)", _forward, _fake_forward, _keep, _backward
)
_attention_backward = Operator(
    f"edge_attention_backward({_INPUTS}, Tensor output, Tensor logsumexp, Tensor direction) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _gradients,
    _fake_gradients,
)
