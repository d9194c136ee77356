"""Banded attention over inner products: a call, and its two passes as differentiable functions and as an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.band.bias import BiasTiles, band_spec, key_limits
from heedful.ops.backends.band.launch import BandSpec, Piece, num_blocks
from heedful.ops.backends.band.layout import BandLayout
from heedful.ops.backends.band.passes import BandArguments, Operands, Results
from heedful.ops.backends.base import without_autocast
from heedful.ops.backends.edges.dropout import draw_dropout
from heedful.ops.backends.reference import zero_nonfinite
from heedful.ops.call import Attended, Call
from heedful.ops.finite import is_batched
from heedful.ops.jit.operators import Operator, needs_dispatch


def fused_attention(call: Call, layout: BandLayout) -> Attended:
    """Output and weights of a call by the compiled kernels; `layout` is that of any call of the same signature."""
    operands = kernel_operands(call, layout)
    with without_autocast(call.query.device):
        return _attend(call, layout, operands)


def kernel_operands(call: Call, layout: BandLayout) -> Operands:
    """The operands of a call as the kernels read them."""
    query, key = _prepared(call) if layout.prepares else (call.query, call.key_features)
    return (
        layout.kernel_operand(query, call.lead),
        layout.kernel_operand(key, layout.key_lead),
        layout.kernel_operand(call.value, layout.key_lead),
        layout.per_head(call),
    )


def _attend(call: Call, layout: BandLayout, operands: Operands) -> Attended:
    spec = layout.spec
    if spec is None:
        spec = band_spec(call, layout.band, layout.split, layout.scale, layout.cap, layout.dtype)
    limits = key_limits(call, layout.split.paddings) if layout.split.paddings else None
    tiles = (
        BiasTiles.of(call, layout.band, layout.split, layout.dtype) if layout.has_tiles else None
    )
    if call.dropout_p:
        spec = replace(spec, dropout=draw_dropout(call.dropout_p))
    is_whole = needs_dispatch(*operands) or (tiles is None and not call.dropout_p)
    if is_whole and not layout.is_sparse:
        added = None if tiles is None else tiles.whole()
        output, weights = banded(operands, spec, limits, added, call.return_weights)
    else:
        whole = (Piece(0, num_blocks(call.num_queries), None),)
        pieces = (lambda _: whole) if tiles is None else tiles.pieces
        spec = replace(spec, key_limits=limits)
        arguments = BandArguments(spec, pieces, call.return_weights, layout.is_sparse)
        held = () if tiles is None else tiles.tensors()
        output, weights = _BandedByPieces.apply(*operands, arguments, *held)  # type: ignore[no-untyped-call]
    return as_asked(call, output, weights)


def as_asked(call: Call, output: Tensor, weights: Tensor | None) -> Attended:
    """Results of the kernels with the features, leading axes and dtype of the call."""
    if output.shape[-1] > call.value_features:
        output = output[..., : call.value_features]
    if len(call.lead) != 2:
        output = output.reshape(*call.lead, *output.shape[-2:])
        weights = None if weights is None else weights.reshape(*call.lead, *weights.shape[-2:])
    dtype = call.query.dtype
    return Attended(output.to(dtype), None if weights is None else weights.to(dtype))


def _prepared(call: Call) -> tuple[Tensor, Tensor]:
    """Prepared query and key. A token that holds NaN or infinity is NaN throughout.

    The score must not see such tokens where a gradient is wanted: in its derivative, 0 times NaN is not 0.
    """
    if not call.needs_gradient or call.known_finite:
        return call.prepared_query, call.prepared_key
    query = _prepare_finite(call.query, call.score.prepare_query)
    if not isinstance(call.key, Tensor):
        return query, call.prepared_key
    return query, _prepare_finite(call.key, lambda key: call.score.prepare_key(key).features)


def _prepare_finite(tensor: Tensor, prepare: Callable[[Tensor], Tensor]) -> Tensor:
    clean, bad = zero_nonfinite(tensor)
    return torch.where(bad[..., None], torch.nan, prepare(clean))


def banded(
    operands: Operands,
    spec: BandSpec,
    limits: Tensor | None,
    tiles: Tensor | None,
    needs_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """Output (batch, heads, query, value) and weights (batch, heads, query, key) or None, by the operator.

    `limits` are `BandSpec.key_limits`, those of `spec` are not read; `tiles` are `Piece.tiles` of all blocks.
    """
    output, _, weights = _attention(
        *operands, spec.distance_bias, tiles, limits, spec.left, spec.right, spec.scale, spec.cap, spec.masked,
        needs_weights,
    )  # fmt: skip
    return output, weights if needs_weights else None


def _is_differentiated(*gradients: Tensor | None) -> bool:
    """Whether the backward pass is itself differentiated, or vectorized over several gradients."""
    return torch.is_grad_enabled() or any(
        gradient is not None and is_batched(gradient) for gradient in gradients
    )


class _BandedByPieces(torch.autograd.Function):
    """Query, key, value, the arguments, and the tensors that tiles are made of, to output and weights (or None).

    For tiles that are too large to exist at once: each pass makes them again.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, per_head: Tensor | None,
        arguments: BandArguments, *held: Tensor,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        output, logsumexp, weights = arguments.forward((query, key, value, per_head))
        # Saved so that autograd refuses a backward pass after one of them has been changed. It cannot save what was
        # made in inference mode.
        watched = [one for one in held if not one.is_inference()]
        ctx.save_for_backward(query, key, value, per_head, output, logsumexp, *watched)
        ctx.arguments, ctx.held = arguments, len(held)
        ctx.set_materialize_grads(False)
        return output, weights if arguments.needs_weights else None

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        query, key, value, per_head, output, logsumexp = ctx.saved_tensors[:6]
        operands, rest = (query, key, value, per_head), (None,) * (1 + ctx.held)
        found: Sequence[Tensor | None] = (None,) * 4
        if all(gradient is None for gradient in gradients):
            pass
        elif _is_differentiated(*gradients):
            found = ctx.arguments.differentiable_backward(operands, *gradients)
        else:
            found = ctx.arguments.backward(operands, output, logsumexp, *gradients)
        return (*found, *rest)


def _run(
    query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None, *arguments: Any
) -> Results:
    return BandArguments.of_whole(query, *arguments).forward((query, key, value, sinks))


def _fake_run(
    query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None, *arguments: Any
) -> Results:
    shape, needs_weights = query.shape[:3], arguments[-1]
    weights = query.new_empty(*shape, key.shape[2]) if needs_weights else query.new_empty(0)
    return query.new_empty(*shape, value.shape[3]), query.new_empty(shape), weights


def _run_backward(*arguments: Any) -> tuple[Tensor, ...]:
    whole = BandArguments.of_whole(arguments[0], *arguments[4:13])
    *found, sinks = whole.backward(arguments[:4], *arguments[13:])
    return *found, arguments[0].new_empty(0) if sinks is None else sinks


def _fake_run_backward(*arguments: Any) -> tuple[Tensor, ...]:
    query = arguments[0]
    return tuple(query.new_empty(0 if one is None else one.shape) for one in arguments[:4])


def _save(ctx: Any, inputs: Sequence[Any], output: Any) -> None:
    attended, logsumexp, weights = output
    ctx.save_for_backward(*inputs[:7], attended, logsumexp)
    ctx.rest = inputs[7:]
    needs_weights = inputs[-1]
    ctx.mark_non_differentiable(*([logsumexp] if needs_weights else [logsumexp, weights]))
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, output_gradient: Tensor | None, _: Tensor | None, weights_gradient: Tensor | None
) -> tuple[Tensor | None, ...]:
    *inputs, output, logsumexp = ctx.saved_tensors
    operands, gradients = tuple(inputs[:4]), (output_gradient, weights_gradient)
    found: Sequence[Tensor | None] = (None,) * 4
    if output_gradient is None and weights_gradient is None:
        pass
    elif _is_differentiated(*gradients):
        arguments = BandArguments.of_whole(inputs[0], *inputs[4:], *ctx.rest)
        found = arguments.differentiable_backward(operands, *gradients)
    else:
        found = _attention_backward(*inputs, *ctx.rest, output, logsumexp, *gradients)
        found = (*found[:3], None if inputs[3] is None else found[3])
    return (*found, *(None,) * 9)


_INPUTS = (
    "Tensor query, Tensor key, Tensor value, Tensor? sinks, Tensor distance_bias, Tensor? tiles, "
    "Tensor? key_limits, SymInt left, SymInt right, float scale, float cap, bool masked, bool needs_weights"
)
_attention = Operator(
    f"windowed_attention({_INPUTS}) -> (Tensor, Tensor, Tensor)", _run, _fake_run, _save, _backward
)
_attention_backward = Operator(
    f"windowed_attention_backward({_INPUTS}, Tensor output, Tensor logsumexp, Tensor? output_gradient, "
    "Tensor? weights_gradient) -> (Tensor, Tensor, Tensor, Tensor)",
    _run_backward,
    _fake_run_backward,
)
