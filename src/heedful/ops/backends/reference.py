"""The readable reference: plain mathematics for every combination. Other backends are tested against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.backends.base import (
    Backend,
    Cost,
    copied_bytes,
    copy_seconds,
    key_seconds,
    tensor_bytes,
    wide_dtype,
    without_autocast,
)
from heedful.ops.call import Attended, Call, bias_at, repeat_heads
from heedful.ops.rows import Rows
from heedful.ops.scores import Score
from heedful.ops.scores.base import PRODUCT_KINDS

Pair = Callable[[Score, Tensor, Tensor], Tensor]
"""(score, prepared query (..., query, p), prepared key (..., key, p)) -> scores (..., query, key)."""


def plain_pair(score: Score, query: Tensor, key: Tensor) -> Tensor:
    """`score.pair`, without a compiled kernel."""
    return score.pair(query, key)


@dataclass(frozen=True, eq=False)
class Operands:
    """Prepared operands of a call, in float32 or wider, with NaN and infinity replaced by 0 if keys may be masked."""

    call: Call
    query: Tensor
    key: Tensor
    value: Tensor
    bad_query: Tensor | None
    """(..., query), boolean: the query held NaN or infinity. None if inputs are finite or no key can be masked."""
    bad_key: Tensor | None
    """(..., key), boolean: the same for key or value."""
    pair: Pair
    """Computes scores from prepared features."""


class Reference(Backend):
    """Every score × mask × normalizer × bias, differentiable any number of times and under every transform."""

    name: ClassVar[str] = "reference"
    length_rank: ClassVar[int] = 6
    why: ClassVar[str] = "plain mathematics on whole rows"
    cost: ClassVar[Cost] = Cost(
        call=42e-6,
        backward_call=95e-6,
        multiply_add=0.016e-9,
        cell=2.3e-9,
        transcendental=6.6e-9,
        backward=2.0,
        head=0.6e-6,
    )

    def supports(self, call: Call) -> str | None:
        return None

    def seconds(self, call: Call) -> float:
        return super().seconds(call) + key_seconds(call) + copy_seconds(copied_bytes(call))

    def bytes_kept(self, call: Call) -> int:
        if not call.needs_gradient:
            return 0
        width = wide_dtype(call.query.dtype).itemsize
        cells = call.cells * width * call.normalizer.cells_kept(call.is_masked)
        # A custom pair may build an intermediate (query, key, features), as the additive pair does.
        if call.score.pair_kind not in PRODUCT_KINDS:
            cells += call.cells * call.pair_features * width
        if call.score.pair_kind == "capped_dot":
            cells += call.cells * width
        if call.dropout_p:
            cells += call.cells * (width + 1)
        return cells + token_bytes(call)

    def run(self, call: Call) -> Attended:
        operands = prepare(call)
        with without_autocast(call.query.device):
            return attend_rows(operands, call.rows, operands.query, call.return_weights)


def token_bytes(call: Call) -> int:
    """Bytes of saved tensors that are linear in length: inputs, prepared features, and cast or repeated copies."""
    prepared = (
        (call.prepared_query, 1),
        (call.prepared_key, call.groups),
        (call.value, call.groups),
    )
    tensors = [tensor for tensor, _ in prepared] + [call.query, call.key_features]
    wide = wide_dtype(call.query.dtype)
    copies = sum(
        tensor.numel() * groups * wide.itemsize
        for tensor, groups in prepared
        if groups > 1 or tensor.dtype != wide
    )
    return copies + tensor_bytes(*{id(tensor): tensor for tensor in tensors}.values())


def prepare(call: Call, pair: Pair = plain_pair) -> Operands:
    """Prepare the operands of a call: the per-token work of the score, casts and repeated heads.

    If keys may be masked, NaN and infinity are replaced by 0 before any product, and their tokens are marked. Otherwise
    0 · NaN would propagate them to outputs and gradients of rows in which they are masked. `prepare_query` and
    `prepare_key` can overflow, so their results are treated in the same way.
    """
    bad_query = bad_key = None
    if call.is_masked and not call.known_finite:
        query, bad_query = zero_nonfinite(call.query)
        query, overflowed = zero_nonfinite(call.score.prepare_query(query))
        bad_query = bad_query | overflowed
        key, bad_key = zero_nonfinite(call.key_features)
        if isinstance(call.key, Tensor):
            key, overflowed = zero_nonfinite(call.score.prepare_key(key).features)
            bad_key = bad_key | overflowed
        value, bad_value = zero_nonfinite(call.value)
        bad_key = repeat_bad(bad_key | bad_value, call.groups)
    else:
        query, key, value = call.prepared_query, call.prepared_key, call.value
    wide = wide_dtype(call.query.dtype)
    return Operands(
        call,
        query.to(wide),
        repeat_heads(key, call.groups).to(wide),
        repeat_heads(value, call.groups).to(wide),
        bad_query,
        bad_key,
        pair,
    )


def attend_rows(operands: Operands, rows: Rows, query: Tensor, return_weights: bool) -> Attended:
    """Attend from a block of rows, whose prepared features are `query`, to all keys."""
    call = operands.call
    weights, spoilt = row_weights(operands, rows, query)
    kept = torch.dropout(weights, call.dropout_p, True) if call.dropout_p else weights
    output = (kept @ operands.value).to(call.query.dtype)
    if spoilt is not None:
        output = torch.where(spoilt, torch.nan, output)
    if not return_weights:
        return Attended(output, None)
    if spoilt is not None:
        weights = torch.where(spoilt & (weights != 0), torch.nan, weights)
    return Attended(output, weights.to(call.query.dtype))


def row_weights(operands: Operands, rows: Rows, query: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the weights of a block of rows, and which rows attend to NaN or infinity, (..., rows, 1) or None."""
    call = operands.call
    scores = operands.pair(call.score, query, operands.key)
    scores = scores.expand(*call.lead, *scores.shape[-2:])
    keep = None if call.mask is None else call.mask.tile(rows)
    if call.bias is not None:
        bias = bias_at(call.bias, rows).to(scores.dtype)
        scores = scores + bias
        # A bias of minus infinity masks, as in other libraries.
        unmasked = bias != -torch.inf
        keep = unmasked if keep is None else keep & unmasked
    spoilt = None
    if operands.bad_query is not None and operands.bad_key is not None and keep is not None:
        bad_query = rows.of_pairs(operands.bad_query[..., None])
        spoilt = (keep & (bad_query | operands.bad_key[..., None, :])).any(-1, keepdim=True)
    return call.normalizer.weights(scores, keep), spoilt


def weights_of(call: Call) -> Tensor:
    """The weights of a call by plain mathematics, for kernels that do not return weights."""
    operands = prepare(call)
    with without_autocast(call.query.device):
        weights, _ = row_weights(operands, call.rows, operands.query)
    return weights.to(call.query.dtype)


def zero_nonfinite(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Replace NaN and infinity by 0: (..., length, f) -> (..., length, f), and a mark of their tokens (..., length)."""
    finite = torch.isfinite(tensor)
    return torch.where(finite, tensor, 0.0), ~finite.all(-1)


def repeat_bad(bad: Tensor, groups: int) -> Tensor:
    """`repeat_heads` for a boolean per key, (..., heads, key)."""
    return bad if groups == 1 else bad.repeat_interleave(groups, dim=-2)
