"""Additive scores under softmax as one step of autograd: the maps of queries and keys, the kernel, and their gradients.

The whole of it is one `torch.autograd.Function`, since a step of autograd for each product takes as long as the
attention of a short sequence. Between the passes it keeps what goes in, the prepared features, the outputs and a number
a row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.additive.blocks import serves
from heedful.ops.backends.additive.launch import attend_backward, attend_forward, dense
from heedful.ops.backends.additive.maps import map_both, suits, unmap_both
from heedful.ops.backends.reference import Operands
from heedful.ops.call import Call
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.masks import Padding
from heedful.ops.normalizers import Softmax
from heedful.ops.products import crossed, product
from heedful.ops.scores import Additive

Maps = tuple[Tensor | None, Tensor | None]


def attend_additively(
    query: Tensor, key: Tensor, value: Tensor, vector: Tensor, maps: Maps, lengths: Tensor | None
) -> Tensor:
    """softmax(vᵀ tanh(W_qᵀ q + W_kᵀ k)) · values, in float32 on a processor.

    `maps` W are (features, hidden), or None where queries or keys are prepared. `lengths`, int64 in the shape of the
    leading axes, tells how many keys each sequence sees; what lies beyond is not read, and a row that sees nothing
    gives 0.

    >>> import torch
    >>> query, key, value = torch.zeros(1, 4), torch.zeros(3, 4), torch.tensor([[1.0], [3.0], [9.0]])
    >>> attend_additively(query, key, value, torch.ones(4), (None, None), torch.tensor(2))
    tensor([[2.]])
    """
    tensors = (query, key, value, vector, *maps)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        output: Tensor = _Attention.apply(lengths, *tensors)  # type: ignore[no-untyped-call]
        return output
    features = both_mapped(query, key, maps)
    return attend_forward(*features, dense(value), vector.contiguous(), lengths)[0]


def both_mapped(query: Tensor, key: Tensor, maps: Maps) -> tuple[Tensor, Tensor]:
    """Features of queries and keys."""
    query_weight, key_weight = maps
    if query_weight is not None and suits(query, query_weight) and suits(key, key_weight):
        return map_both(query, query_weight, dense(key), key_weight)
    return mapped(query, query_weight), mapped(key, key_weight)


def mapped(tensor: Tensor, weight: Tensor | None) -> Tensor:
    """(..., features) by (features, hidden)."""
    if weight is None:
        return dense(tensor)
    return product(tensor.reshape(-1, tensor.shape[-1]), weight).view(*tensor.shape[:-1], -1)


class _Attention(torch.autograd.Function):
    """`attend_additively` for autograd; the second derivative is taken by plain mathematics."""

    @staticmethod
    def forward(ctx: Any, lengths: Tensor | None, *tensors: Any) -> Tensor:
        query, key, value, vector, query_weight, key_weight = tensors
        a, b = both_mapped(query, key, (query_weight, key_weight))
        output, sums = attend_forward(a, b, dense(value), vector.contiguous(), lengths)
        ctx.save_for_backward(lengths, *tensors, a, b, output, sums)
        return output

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        lengths, *tensors, a, b, output, sums = ctx.saved_tensors
        if torch.is_grad_enabled():

            def readable(*own: Any) -> tuple[Tensor]:
                return (plain(own[:4], (own[4], own[5]), lengths),)

            return None, *differentiable_gradients(readable, tensors, (upstream,))
        features = a, b, dense(tensors[2]), tensors[3].contiguous()
        of_a, of_b, of_value, of_vector = attend_backward(features, lengths, output, sums, upstream)
        of_query, of_key, *of_maps = both_unmapped(ctx, tensors, of_a, of_b)
        return None, of_query, of_key, of_value, of_vector, *of_maps


def both_unmapped(
    ctx: Any, tensors: list[Tensor], of_a: Tensor, of_b: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of queries, keys and their maps from those of their features."""
    query, key, _, _, query_weight, key_weight = tensors
    wanted = ctx.needs_input_grad
    if (
        query_weight is not None
        and all(
            (wanted[1], wanted[2] or key_weight is None, wanted[5], wanted[6] or key_weight is None)
        )
        and suits(query, query_weight)
        and suits(key, key_weight)
    ):
        return unmap_both(query, query_weight, key, key_weight, of_a, of_b)
    of_query, of_query_weight = unmapped(query, query_weight, of_a, wanted[1])
    of_key, of_key_weight = unmapped(key, key_weight, of_b, wanted[2])
    return of_query, of_key, of_query_weight, of_key_weight


def unmapped(
    tensor: Tensor, weight: Tensor | None, upstream: Tensor, wanted: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of a tensor and of its map."""
    if weight is None:
        return upstream, None
    above = upstream.reshape(-1, upstream.shape[-1])
    below = product(above, weight.t()).view(tensor.shape) if wanted else None
    if not weight.requires_grad:
        return below, None
    return below, crossed(tensor.reshape(-1, tensor.shape[-1]), above)


def plain(tensors: tuple[Tensor, ...], maps: Maps, lengths: Tensor | None) -> Tensor:
    """`attend_additively` by plain mathematics, which autograd can differentiate again."""
    query, key, value, vector = tensors
    query_weight, key_weight = maps
    a = query if query_weight is None else query @ query_weight
    b = key if key_weight is None else key @ key_weight
    scores = (torch.tanh(a[..., :, None, :] + b[..., None, :, :]) * vector[..., None, None, :]).sum(
        -1
    )
    if lengths is None:
        return torch.softmax(scores, -1) @ value
    keep = torch.arange(key.shape[-2], device=key.device) < lengths[..., None, None]
    weights = torch.softmax(scores.masked_fill(~keep, torch.finfo(scores.dtype).min), -1)
    return torch.where(keep, weights, 0.0) @ value


def is_fused(call: Call) -> bool:
    """Whether a call under the additive score is one that the kernel computes whole."""
    return (
        isinstance(call.score, Additive)
        and call.score.activation == "tanh"
        and type(call.normalizer) is Softmax
        and call.bias is None
        and (call.mask is None or type(call.mask) is Padding)
        and not call.dropout_p
        and call.query.is_cpu
        and call.query.dtype != torch.float64
    )


def takes(operands: Operands) -> bool:
    """Whether a call that is made ready may go this way."""
    return serves(operands) and is_fused(operands.call)


def attend_ready(operands: Operands) -> Tensor:
    """The output of a call that `takes` accepts, in the dtype that was given."""
    call, lengths = operands.call, None
    assert isinstance(call.score, Additive)
    if isinstance(call.mask, Padding):
        lengths = call.mask.key_lengths.long()
        lengths = lengths.reshape(*lengths.shape, *(1,) * (len(call.lead) - lengths.ndim))
        lengths = lengths.expand(call.lead).contiguous()
    vector = call.score.vector.to(operands.query.dtype)
    output = attend_additively(
        operands.query, operands.key, operands.value, vector, (None, None), lengths
    )
    return output.to(call.query.dtype)
