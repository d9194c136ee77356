"""Banded attention over inner products: compiled kernels as one operator, and the same as plain mathematics.

The plain form is differentiable any number of times. It serves second derivatives, gradients of the weights, and calls
in which something that is not finite must be kept behind a mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.backends.band.bias import BiasTiles, band_spec, key_limits
from heedful.ops.backends.band.gradients import BandGradients, run_backward
from heedful.ops.backends.band.launch import (
    BandSpec,
    Piece,
    num_blocks,
    run_forward,
    tile_keys,
)
from heedful.ops.backends.band.layout import BandLayout
from heedful.ops.backends.band.packing import block_factors, unpacked
from heedful.ops.backends.band.shape import ROWS
from heedful.ops.backends.band.sparse_launch import (
    run_sparse_backward,
    run_sparse_forward,
)
from heedful.ops.backends.base import without_autocast
from heedful.ops.backends.edges.dropout import draw_dropout
from heedful.ops.backends.reference import repeat_bad, zero_nonfinite
from heedful.ops.call import Attended, Call, repeat_heads
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.finite import all_finite, is_batched
from heedful.ops.jit.operators import Operator, needs_dispatch
from heedful.ops.normalizers import Entmax, Normalizer, SinkSoftmax, Softmax

SUM_BYTES = 4
"""Bytes of a number that sums of gradients in half precision would take."""
PLAIN_BYTES = 2**24
"""Largest size of the scores that the plain form differentiates at a time; several tensors of that size exist."""
Operands = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""Query, key and value (batch, heads, length, features), features contiguous and a multiple of WIDTH; attention sinks
(batch, heads), or None."""
Results = tuple[Tensor, Tensor, Tensor]
"""Output (batch, heads, query, value), logsumexp (batch, heads, query), and weights (batch, heads, query, key) or (0,)
where they are not wanted."""
Pieces = Callable[[int], Iterable[Piece | range]]
"""Yields all blocks, anew in each pass; a range holds blocks in which every pair is hidden. The argument is a number of
bytes that what belongs to a piece may take in any case."""


def fused_attention(call: Call, layout: BandLayout) -> Attended:
    """Output and weights of a call by the compiled kernels; `layout` is that of any call of the same signature."""
    operands = kernel_operands(call, layout)
    with without_autocast(call.query.device):
        return _attend(call, layout, operands)


def kernel_operands(call: Call, layout: BandLayout) -> Operands:
    """Query, key, value and sinks of a call as the kernels read them."""
    query, key = _prepared(call) if layout.prepares else (call.query, call.key_features)
    return (
        layout.kernel_operand(query, call.lead),
        layout.kernel_operand(key, layout.key_lead),
        layout.kernel_operand(call.value, layout.key_lead),
        layout.sinks(call),
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
    excess = layout.excess
    if excess is None and (needs_dispatch(*operands) or (tiles is None and not call.dropout_p)):
        added = None if tiles is None else tiles.whole()
        output, weights = banded(operands, spec, limits, added, call.return_weights)
    else:
        whole = (Piece(0, num_blocks(call.num_queries), None),)
        pieces = (lambda _: whole) if tiles is None else tiles.pieces
        spec = replace(spec, key_limits=limits)
        arguments = BandArguments(spec, pieces, call.return_weights, excess)
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


class PlainBlock(NamedTuple):
    """A block of the plain form: queries `start` to `stop` (exclusive) and keys `first` to `last` (exclusive)."""

    start: int
    stop: int
    first: int
    last: int
    output: Tensor
    """(batch, heads, stop − start, value)."""
    weights: Tensor
    """(batch, heads, stop − start, last − first)."""


def plain_blocks(
    operands: Sequence[Tensor | None],
    spec: BandSpec,
    pieces: Iterable[Piece | range],
    excess: float | None = None,
) -> Iterator[PlainBlock]:
    """What the kernels compute, by plain mathematics, one block after the other."""
    query, key, value, sinks = operands
    assert query is not None
    assert key is not None
    assert value is not None
    normalizer = _normalizer(sinks, excess)
    groups = query.shape[1] // key.shape[1]
    (query, bad_query), (key, bad_key), (value, bad_value) = (
        zero_nonfinite(one)
        if spec.masked
        else (one, torch.zeros_like(one[..., 0], dtype=torch.bool))
        for one in (query, key, value)
    )
    bad_key = repeat_bad(bad_key | bad_value, groups)
    key, value = repeat_heads(key, groups), repeat_heads(value, groups)
    for start, stop, first, last, bias in _biases(query.shape[2], key.shape[2], spec, pieces):
        keep = bias != -torch.inf
        scores = (query[:, :, start:stop] @ key[:, :, first:last].mT) * spec.scale
        if spec.cap:
            scores = spec.cap * (scores / spec.cap).tanh()
        scores = scores + torch.where(keep, bias, 0.0)
        weights = normalizer.weights(scores, keep.expand(scores.shape))
        kept = weights
        if spec.dropout is not None:
            kept = weights * block_factors(
                spec.dropout, scores, query.shape[2], key.shape[2], start, first
            )
        output = kept @ value[:, :, first:last]
        bad = bad_query[:, :, start:stop, None] | bad_key[:, :, None, first:last]
        bad_row = (keep & bad).any(-1, keepdim=True)
        output = torch.where(bad_row, torch.nan, output)
        weights = torch.where(bad_row & (weights != 0), torch.nan, weights)
        yield PlainBlock(start, stop, first, last, output, weights)


def _normalizer(sinks: Tensor | None, excess: float | None) -> Normalizer:
    """That of operands with these sinks, or entmax of α = 1 + `excess`."""
    if excess is not None:
        return Entmax(1 + excess)
    return Softmax() if sinks is None else SinkSoftmax(sinks)


def _biases(
    queries: int, keys: int, spec: BandSpec, pieces: Iterable[Piece | range]
) -> Iterator[tuple[int, int, int, int, Tensor]]:
    """For each block its queries, its keys, and what is added, (batch or 1, heads or 1, query, key)."""
    device = spec.distance_bias.device
    for piece in pieces:
        for block in piece if isinstance(piece, range) else piece.blocks:
            start, stop = block * ROWS, min(queries, block * ROWS + ROWS)
            first = min(keys, max(0, start - spec.left))
            last = max(first, min(keys, stop + spec.right))
            row = torch.arange(start, stop, device=device)[:, None]
            column = torch.arange(first, last, device=device)
            if isinstance(piece, range):
                bias = spec.distance_bias.new_full((1, 1, stop - start, last - first), -torch.inf)
            else:
                bias = spec.distance_bias[None, :, row - column + spec.base]
                if piece.tiles is not None:
                    at = first - (start - spec.left)
                    tile = piece.tiles[:, :, block - piece.first, at : at + last - first]
                    bias = bias + tile[..., : stop - start].mT
                if piece.bias is not None:
                    rows = slice(None) if piece.bias.shape[2] == 1 else slice(start, stop)
                    bias = bias + piece.bias[:, :, rows, first:last]
                if piece.words is not None:
                    keep = unpacked(piece.words[:, :, block - piece.first, : last - first])
                    bias = torch.where(keep[..., : stop - start].mT, bias, -torch.inf)
            if spec.key_limits is not None:
                bias = torch.where(column < spec.key_limits[:, :, None, None], bias, -torch.inf)
            yield start, stop, first, last, bias


@dataclass(frozen=True, eq=False, slots=True)
class BandArguments:
    """Non-tensor arguments of forward and backward."""

    spec: BandSpec
    pieces: Pieces
    needs_weights: bool
    excess: float | None = None
    """α − 1 of sparsemax and entmax; None for softmax."""

    @classmethod
    def of_whole(
        cls, query: Tensor, distance_bias: Tensor, tiles: Tensor | None, limits: Tensor | None,
        left: int, right: int, scale: float, cap: float, masked: bool, needs_weights: bool,
    ) -> BandArguments:  # fmt: skip
        """All blocks as one piece."""
        piece = Piece(0, num_blocks(query.shape[2]), tiles)
        spec = BandSpec(left, right, scale, distance_bias.contiguous(), limits, masked, cap)
        return cls(spec, lambda _: (piece,), needs_weights)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None) -> Results:
        """Attend to all blocks."""
        shape = query.shape[:3]
        like = self.spec.distance_bias  # in the dtype that the kernels compute in
        output, logsumexp = value.new_empty(*shape, value.shape[3]), like.new_empty(shape)
        weights = like.new_zeros(*shape, key.shape[2]) if self.needs_weights else like.new_empty(0)
        results, is_finite = (output, logsumexp, weights), True
        for piece in self.pieces(0):
            if isinstance(piece, range):
                rows = slice(piece.start * ROWS, piece.stop * ROWS)
                output[:, :, rows] = 0
                logsumexp[:, :, rows] = 0 if sinks is None else sinks.detach()[..., None]
                continue
            if self.excess is None:
                checks = run_forward(query, key, value, sinks, self.spec, piece, results)
            else:
                checks = run_sparse_forward(
                    query, key, value, self.excess, self.spec, piece, output, weights
                )
            is_finite = is_finite and math.isfinite(checks.sum().item())
        if is_finite or all_finite(output, *([weights] if self.needs_weights else [])):
            return results
        # Something came from behind the mask, or what is kept is not finite: the plain form distinguishes them.
        with torch.no_grad():
            output, weights = self._plain((query, key, value, sinks))
        return output, logsumexp, weights

    def _plain(self, operands: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Output and weights by plain mathematics; (0,) for weights that are not wanted."""
        _, key, value, _ = operands
        assert key is not None
        assert value is not None
        keys = key.shape[2]
        outputs, weights = [], []
        for block in plain_blocks(self._wide(operands), self.spec, self.pieces(0), self.excess):
            outputs.append(block.output)
            if self.needs_weights:
                weights.append(F.pad(block.weights, (block.first, keys - block.last)))
        output = torch.cat(outputs, 2)
        whole = torch.cat(weights, 2) if self.needs_weights else output.new_empty(0)
        return output.to(value.dtype), whole

    def _wide(self, operands: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The operands in the dtype that is computed in."""
        dtype = self.spec.distance_bias.dtype
        return [None if one is None else one.to(dtype) for one in operands]

    def backward(
        self, operands: Operands, output: Tensor, logsumexp: Tensor,
        output_gradient: Tensor | None, weights_gradient: Tensor | None,
    ) -> Operands:  # fmt: skip
        """Gradients of query, key, value and sinks."""
        if output_gradient is None or weights_gradient is not None:
            return self._plain_backward(operands, output_gradient, weights_gradient)
        query, key, value, sinks = operands
        pieces = iter(self.pieces(SUM_BYTES * (key.numel() + value.numel())))
        first = next(pieces)
        is_whole = isinstance(first, Piece) and first.count == num_blocks(query.shape[2])
        gradients = BandGradients.of(query, key, value, self.spec, is_whole=is_whole)
        results = (output, logsumexp, output_gradient.resolve_neg().contiguous())
        products = None if sinks is None else torch.zeros_like(logsumexp)
        is_finite = True
        for piece in chain((first,), pieces):
            if isinstance(piece, range):
                gradients.query[:, :, piece.start * ROWS : piece.stop * ROWS] = 0
            elif self.excess is not None:
                run_sparse_backward(
                    query, key, value, self.excess, self.spec, piece, results[2], gradients
                )
                is_finite = False  # it is not checked on the way
            else:
                checks = run_backward(
                    query, key, value, self.spec, piece, results, gradients, products
                )
                is_finite = is_finite and math.isfinite(checks.sum().item())
        totals = gradients.totals()
        if (is_finite and gradients.are_sums_finite()) or all_finite(*totals):
            return *totals, _sink_gradient(sinks, logsumexp, products)
        return self._plain_backward(operands, output_gradient, None)

    def _plain_backward(
        self, operands: Operands, output_gradient: Tensor | None, weights_gradient: Tensor | None
    ) -> Operands:
        """Gradients by plain mathematics, of as many blocks at a time as `PLAIN_BYTES` allows."""
        queries, keys = (one.shape for one in operands[:2])
        reach = min(keys[2], tile_keys(self.spec.left, self.spec.right))
        width = self.spec.distance_bias.element_size()
        scores = queries[0] * queries[1] * ROWS * reach * width
        leaves = [
            None if one is None else one.detach().requires_grad_() for one in self._wide(operands)
        ]
        sources = [one for one in leaves if one is not None]
        totals = [torch.zeros_like(one) for one in sources]
        for piece in self.pieces(0):
            if isinstance(piece, range):
                continue
            for part in piece.split(max(1, PLAIN_BYTES // max(1, scores))):
                made: list[Tensor] = []
                upstream: list[Tensor] = []
                with torch.enable_grad():
                    for block in plain_blocks(leaves, self.spec, (part,), self.excess):
                        rows = slice(block.start, block.stop)
                        if output_gradient is not None:
                            made.append(block.output)
                            upstream.append(output_gradient[:, :, rows].to(block.output.dtype))
                        if weights_gradient is not None:
                            made.append(block.weights)
                            upstream.append(weights_gradient[:, :, rows, block.first : block.last])
                found = torch.autograd.grad(made, sources, upstream, allow_unused=True)
                for total, gradient in zip(totals, found, strict=True):
                    if gradient is not None:  # The weights do not depend on the value.
                        total += gradient
        sums = iter(totals)
        query, key, value, sinks = (
            None if one is None else next(sums).to(one.dtype) for one in operands
        )
        assert query is not None
        assert key is not None
        assert value is not None
        return query, key, value, sinks

    def differentiable_backward(
        self, operands: Operands, output_gradient: Tensor | None, weights_gradient: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Gradients of query, key, value and sinks that can themselves be differentiated."""
        upstream = [output_gradient, weights_gradient]

        def function(*operands: Tensor | None) -> list[Tensor]:
            made = self._plain(operands)
            return [one for one, wanted in zip(made, upstream, strict=True) if wanted is not None]

        return differentiable_gradients(
            function, operands, [one for one in upstream if one is not None]
        )


def _sink_gradient(
    sinks: Tensor | None, logsumexp: Tensor, products: Tensor | None
) -> Tensor | None:
    """The gradient of the sinks, (batch, heads): a sink is a key of value 0, of weight exp(sink − logsumexp).

    `products` are the inner products of the outputs and their gradients.
    """
    if sinks is None or products is None:
        return None
    return -((sinks[..., None] - logsumexp).exp() * products).sum(-1)


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
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None,
        arguments: BandArguments, *held: Tensor,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        output, logsumexp, weights = arguments.forward(query, key, value, sinks)
        # Saved so that autograd refuses a backward pass after one of them has been changed. It cannot save what was
        # made in inference mode.
        watched = [one for one in held if not one.is_inference()]
        ctx.save_for_backward(query, key, value, sinks, output, logsumexp, *watched)
        ctx.arguments, ctx.held = arguments, len(held)
        ctx.set_materialize_grads(False)
        return output, weights if arguments.needs_weights else None

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        query, key, value, sinks, output, logsumexp = ctx.saved_tensors[:6]
        operands, rest = (query, key, value, sinks), (None,) * (1 + ctx.held)
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
    return BandArguments.of_whole(query, *arguments).forward(query, key, value, sinks)


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
