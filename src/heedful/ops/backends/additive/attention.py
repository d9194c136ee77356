"""Additive attention under softmax as one autograd function: linear maps of queries and keys, kernel, all gradients.

It is a single `torch.autograd.Function`, since the overhead of one autograd node per product takes as long as the
attention of a short sequence. Saved for the backward pass are the inputs, the features, the outputs, and the logsumexp
of each row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.additive.launch import attend_backward, attend_forward
from heedful.ops.backends.additive.layout import dense
from heedful.ops.backends.additive.maps import map_both, suits, unmap_both
from heedful.ops.backends.additive.scores import SLOPES, additive_scores
from heedful.ops.backends.additive.visible import EVERYTHING, Visible
from heedful.ops.backends.base import without_autocast
from heedful.ops.blas import product_of
from heedful.ops.call import Attended
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.finite import all_finite, is_batched
from heedful.ops.normalizers import Softmax
from heedful.ops.products import crossed, product
from heedful.ops.rows import Rows
from heedful.ops.scores.additive import ACTIVATIONS

Maps = tuple[Tensor | None, Tensor | None]
BLOCK_BYTES = 2 * 2**20
"""Bytes of the scores of a block, if the weights have an upstream gradient."""


@dataclass(frozen=True, eq=False)
class AdditiveOptions:
    """Options of a call of the additive kernels: all arguments but the differentiable tensors."""

    visible: Visible = EVERYTHING
    activation: str = "tanh"
    needs_weights: bool = False
    is_masked: bool = False
    """Whether keys may be masked, so that features and outputs are checked for NaN and infinity."""


PLAIN = AdditiveOptions()


def attend_additively(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vector: Tensor,
    maps: Maps = (None, None),
    options: AdditiveOptions = PLAIN,
) -> Attended | None:
    r"""Additive attention, :math:`\mathrm{softmax}(v^\top \varphi(W_q^\top q + W_k^\top k)) \cdot` values.

    Float32 or float64 tensors on a CPU. `query` is (*lead, query, features), `key` (*lead, key, features),
    `value` (*lead, key, width), `vector` (*lead, hidden); leading axes broadcast. `maps` are (features, hidden), or
    None if queries or keys are prepared features. A fully masked row gives 0.

    Returns:
        Outputs (*lead, query, width) and, with `options.needs_weights`, weights (*lead, query, key). None if
        `options.is_masked` and NaN or infinity may have reached an output from a masked key, or would reach a gradient.

    >>> import torch
    >>> query, key, value = torch.zeros(1, 4), torch.zeros(3, 4), torch.tensor([[1.0], [3.0], [9.0]])
    >>> first_two = AdditiveOptions(Visible(lengths=torch.tensor(2)))
    >>> attend_additively(query, key, value, torch.ones(4), options=first_two).output
    tensor([[2.]])
    """
    query_weight, key_weight = maps
    if query.is_neg() or key.is_neg() or value.is_neg() or vector.is_neg():
        # Kernels read memory, which does not contain a lazy negation (`Tensor.is_neg`).
        query, key, value = query.resolve_neg(), key.resolve_neg(), value.resolve_neg()
        vector = vector.resolve_neg()
    needs_gradient = torch.is_grad_enabled() and (
        query.requires_grad
        or key.requires_grad
        or value.requires_grad
        or vector.requires_grad
        or (query_weight is not None and query_weight.requires_grad)
        or (key_weight is not None and key_weight.requires_grad)
    )
    if needs_gradient:
        with torch.no_grad():
            a, b = both_mapped(query, key, query_weight, key_weight)
        # The backward pass multiplies gradients, 0 where masked, by the features and the inputs; 0 · NaN is NaN.
        if options.is_masked and not is_finite(a, b):
            return None
        output, weights = _Attention.apply(  # type: ignore[no-untyped-call]
            options, a, b, query, key, value, vector, query_weight, key_weight
        )
    else:
        a, b = both_mapped(query, key, query_weight, key_weight)
        output, _, weights = attend_forward(
            a,
            b,
            value if value.stride(-1) == 1 else value.contiguous(),
            vector if vector.stride(-1) == 1 else vector.contiguous(),
            options.visible,
            SLOPES[options.activation],
            options.needs_weights,
        )
    # Masked scores are overwritten, masked values multiplied by 0: if such a value is not finite, the output is NaN.
    if options.is_masked and not is_finite(output, output):
        return None
    # Fast path: takes a third of the time of the constructor of the named tuple.
    return tuple.__new__(Attended, (output, weights))


def is_finite(one: Tensor, other: Tensor) -> bool:
    """NaN/inf check of both tensors: by one inner product if its result is finite, else elementwise."""
    total = product_of(one, other)
    return (total is not None and math.isfinite(total)) or all_finite(one, other)


def both_mapped(
    query: Tensor, key: Tensor, query_weight: Tensor | None, key_weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Apply the linear maps to queries and keys."""
    if query_weight is not None and suits(query, query_weight, key, key_weight):
        key = key if key.stride(-1) == 1 else key.contiguous()
        return map_both(query, query_weight, key, key_weight)
    return mapped(query, query_weight), mapped(key, key_weight)


def mapped(tensor: Tensor, weight: Tensor | None) -> Tensor:
    """The product tensor · weight, (..., features) · (features, hidden)."""
    if weight is None:
        return dense(tensor)
    return product(tensor.flatten(0, -2), weight).view(*tensor.shape[:-1], weight.shape[-1])


class _Attention(torch.autograd.Function):
    """Autograd function of `attend_additively`. The features a, b are computed by the caller without a gradient.

    The backward pass returns the gradients of query, key and their maps instead.
    """

    @staticmethod
    def forward(
        ctx: Any, options: AdditiveOptions, a: Tensor, b: Tensor, *tensors: Any
    ) -> tuple[Tensor, Tensor | None]:
        value, vector = tensors[2:4]
        output, sums, weights = attend_forward(
            a,
            b,
            dense(value),
            dense(vector),
            options.visible,
            SLOPES[options.activation],
            options.needs_weights,
        )
        ctx.options = options
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, a, b, output, sums)
        return output, weights

    @staticmethod
    def backward(
        ctx: Any, upstream: Tensor | None, of_weights: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *tensors, a, b, output, sums = ctx.saved_tensors
        options, above = ctx.options, (upstream, of_weights)
        with without_autocast(a.device):
            if torch.is_grad_enabled() or any(t is not None and is_batched(t) for t in above):
                return None, None, None, *differentiable_gradients_of(options, tensors, above)
            if of_weights is not None or upstream is None:
                found = gradients_in_blocks(options, (a, b, *tensors[2:4]), above)
            else:
                features = a, b, dense(tensors[2]), dense(tensors[3])
                slope = SLOPES[options.activation]
                found = attend_backward(features, options.visible, slope, output, sums, upstream)
            of_a, of_b, of_value, of_vector = found
            of_query, of_key, *of_maps = both_unmapped(
                ctx.needs_input_grad[3:], tensors, of_a, of_b
            )
        return None, None, None, of_query, of_key, of_value, of_vector, *of_maps


def both_unmapped(
    wanted: Sequence[bool], tensors: list[Tensor], of_a: Tensor, of_b: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of queries, keys and their maps from the gradients of the features."""
    query, key, _, _, query_weight, key_weight = tensors
    is_whole = wanted[0] and wanted[4] and (key_weight is None or (wanted[1] and wanted[5]))
    if query_weight is not None and is_whole and suits(query, query_weight, key, key_weight):
        return unmap_both(query, query_weight, key, key_weight, of_a, of_b)
    of_query, of_query_weight = unmapped(query, query_weight, of_a, wanted[0])
    of_key, of_key_weight = unmapped(key, key_weight, of_b, wanted[1])
    return of_query, of_key, of_query_weight, of_key_weight


def unmapped(
    tensor: Tensor, weight: Tensor | None, upstream: Tensor, wanted: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the input and of the weight of a linear map."""
    if weight is None:
        return upstream, None
    above = upstream.flatten(0, -2)
    below = product(above, weight.t()).view(tensor.shape) if wanted else None
    if not weight.requires_grad:
        return below, None
    return below, crossed(tensor.flatten(0, -2), above)


# Plain mathematics


def plain_rows(
    options: AdditiveOptions, scores: Tensor, value: Tensor, rows: Rows
) -> tuple[Tensor, Tensor]:
    """Outputs and weights of a block of rows from its scores (*lead, rows, key)."""
    keep, bias = options.visible.tile(rows)
    scores = scores.expand(*rows.lead, *scores.shape[-2:])
    weights = Softmax().weights(scores if bias is None else scores + bias, keep)
    return weights @ value, weights


def differentiable_gradients_of(
    options: AdditiveOptions, tensors: Sequence[Any], above: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """Double backward: differentiable gradients of query, key, value, vector and maps, by plain mathematics."""
    arrived = [place for place, gradient in enumerate(above) if gradient is not None]

    def readable(*own: Any) -> list[Tensor]:
        query, key, value, vector, query_weight, key_weight = own
        a = query if query_weight is None else query @ query_weight
        b = key if key_weight is None else key @ key_weight
        hidden = ACTIVATIONS[options.activation](a[..., :, None, :] + b[..., None, :, :])
        scores = (hidden * vector[..., None, None, :]).sum(-1)
        results = plain_rows(options, scores, value, all_rows(scores, value))
        return [results[place] for place in arrived]

    return differentiable_gradients(readable, tensors, [g for g in above if g is not None])


def gradients_in_blocks(
    options: AdditiveOptions, features: tuple[Tensor, ...], above: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """Gradients of features, values and vector from those of outputs and weights, by blocks of rows."""
    own = [tensor.detach().requires_grad_() for tensor in features]
    a, b, value, vector = own
    sums = [torch.zeros_like(tensor) for tensor in own]
    count = a.shape[-2]
    lead = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2], value.shape[:-2], vector.shape[:-1])
    rows = Rows.all(count, b.shape[-2], tuple(lead), a.device)
    step = max(1, BLOCK_BYTES // max(1, math.prod(lead) * b.shape[-2] * a.itemsize))
    for start in range(0, count, step):
        stop = min(start + step, count)
        with torch.enable_grad():
            scores = additive_scores(a[..., start:stop, :], b, vector, options.activation)
            results = plain_rows(options, scores, value, rows.block(start, stop))
        given = [
            (result, g[..., start:stop, :])
            for result, g in zip(results, above, strict=True)
            if g is not None
        ]
        if given:
            made, arrived = zip(*given, strict=True)
            found = torch.autograd.grad(made, own, arrived, materialize_grads=True)
            for total, gradient in zip(sums, found, strict=True):
                total += gradient
    return tuple(sums)


def all_rows(scores: Tensor, value: Tensor) -> Rows:
    """All rows of a call, from its scores and values."""
    lead = torch.broadcast_shapes(scores.shape[:-2], value.shape[:-2])
    return Rows.all(scores.shape[-2], scores.shape[-1], tuple(lead), scores.device)
