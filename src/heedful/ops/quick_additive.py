"""The shortest way to the additive kernel, as `quick` is to PyTorch's: for calls that are plainly in order."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heedful.ops.backends.additive.attention import attend_additively
from heedful.ops.backends.additive.scores import refusal
from heedful.ops.finite import is_eager
from heedful.ops.jit.operators import is_watched
from heedful.ops.masks import Mask, Padding
from heedful.ops.scores import Additive, PreparedKey


def quick_additive(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    score: Additive,
    mask: Mask | Tensor | None,
) -> Tensor | None:
    """The output of a call under softmax, (*batch, query, value); None where it must go the long way."""
    maps: tuple[Tensor, Tensor | None] = score.query_weight, score.key_weight
    if type(key) is PreparedKey:
        if key.score != score.key_kind:
            return None
        key, maps = key.features, (score.query_weight, None)
    if (
        not isinstance(key, Tensor)
        or score.activation != "tanh"
        or not is_eager()
        or is_watched(query, key, value, *score.tensors())
        or not _fit(query, key, value, score.vector, maps)
        or refusal(query.device) is not None
    ):
        return None
    if mask is None:
        return attend_additively(query, key, value, score.vector, maps, None)
    return _padded(query, key, value, score.vector, maps, mask) if type(mask) is Padding else None


def _fit(
    query: Tensor, key: Tensor, value: Tensor, vector: Tensor, maps: tuple[Tensor, Tensor | None]
) -> bool:
    """Whether all are float32 on a processor, with one score for all leading axes, which are equal."""
    hidden = vector.shape[-1]
    shape, key_shape, value_shape = query.shape, key.shape, value.shape
    for tensor in (query, key, value, vector, *maps):
        if tensor is not None and not (tensor.dtype is torch.float32 and tensor.is_cpu):
            return False
    query_weight, key_weight = maps
    reads = hidden if key_weight is None else len(key_weight)  # a prepared key has hidden features
    return (
        vector.ndim == 1
        and len(shape) >= 2
        and shape[:-2] == key_shape[:-2] == value_shape[:-2]
        and key_shape[-2] == value_shape[-2]
        and query_weight.shape == (shape[-1], hidden)
        and key_shape[-1] == reads
        and (key_weight is None or key_weight.shape[-1] == hidden)
        and 0 not in shape
        and 0 not in key_shape
        and 0 not in value_shape
    )


def _padded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vector: Tensor,
    maps: tuple[Tensor, Tensor | None],
    mask: Padding,
) -> Tensor | None:
    """The same under padding; None where what is not finite might have come through, as in `quick`."""
    lengths = mask.key_lengths
    if lengths.shape != query.shape[:-2] or not lengths.is_cpu:
        return None
    learns = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (query, key, value, vector, *maps)
    )
    if learns:
        # hidden rows are multiplied by zeros where the gradients of maps are summed
        looked_at = query.detach().sum() + key.detach().sum()
        if not math.isfinite(looked_at.item()):
            return None
    output = attend_additively(query, key, value, vector, maps, lengths.long())
    return output if math.isfinite(output.detach().sum().item()) else None
