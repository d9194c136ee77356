"""The shortest way to the compiled kernels, as `quick` is to PyTorch's: for calls that are plainly in order."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from heedful.ops.backends.band.backend import is_short
from heedful.ops.backends.band.bias import interval
from heedful.ops.backends.band.forward import ROWS, WIDTH
from heedful.ops.backends.band.fused import windowed
from heedful.ops.finite import is_eager
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import is_watched
from heedful.ops.masks import Causal, Mask, Padding, Window
from heedful.ops.masks.base import And
from heedful.ops.masks.sequences import causal_padding
from heedful.ops.scores import Dot, PreparedKey, ScaledDot, Score

# Up to here a call that is not short is expected to be faster than PyTorch's kernel for every number of queries.
_WIDEST = 1024
_CAUSAL = Causal()


def quick_band(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    score: Score,
    mask: Mask | Tensor | None,
) -> Tensor | None:
    """The output of a call under softmax, (batch, heads, query, value); None where it must go the long way."""
    if isinstance(key, PreparedKey) or (type(score) is not ScaledDot and type(score) is not Dot):
        return None
    operands = (query, key, value)
    if not is_eager() or is_watched(*operands) or not _fit(query, key, value):
        return None
    padding = causal_padding(mask) if type(mask) is And else None
    sides = _sides(query, mask if padding is None else _CAUSAL)
    if sides is None or unavailable() is not None:
        return None
    scale = score.scale_for(query.shape[3]) if type(score) is ScaledDot else 1.0
    window = interval(*sides, scale, query.dtype)
    if mask is None:
        window = replace(window, hides=False)
    elif type(mask) is Padding:
        padding = mask
    if padding is not None:
        lengths = padding.key_lengths
        if lengths.shape != query.shape[:1] or not lengths.is_cpu:
            return None
        # Copied, since the backward pass is that of the lengths there were, whatever becomes of them.
        window = replace(window, limits=lengths.to(torch.int64, copy=True)[:, None])
    return windowed(operands, window, None)


def _sides(query: Tensor, mask: Mask | Tensor | None) -> tuple[int, int] | None:
    """How many keys before and after its own a query sees; None where that is not for the kernels to say."""
    batch, heads, length, features = query.shape
    last = length - 1
    if type(mask) is Window:
        if mask.left is None or mask.right is None:
            return None
        return min(mask.left, last), min(mask.right, last)
    pairs = batch * heads * length * length
    if is_short(length, pairs, features, features) or features > _WIDEST:
        return None
    if mask is None or type(mask) is Padding:
        return last, last
    return (last, 0) if type(mask) is Causal else None


def _fit(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether all three have one shape, a dtype and a layout that the kernels take, and they are the fastest way."""
    if not all(isinstance(one, Tensor) for one in (query, key, value)):
        return False
    shape, dtype = query.shape, query.dtype
    if len(shape) != 4 or shape != key.shape or shape != value.shape or 0 in shape:
        return False
    learns = torch.is_grad_enabled() and any(one.requires_grad for one in (query, key, value))
    if shape[3] % WIDTH or (learns and shape[2] < ROWS):
        return False
    return (dtype is torch.float32 or dtype is torch.float64) and all(
        one.is_cpu and one.dtype is dtype and one.stride(3) == 1 and not one.is_neg()
        for one in (query, key, value)
    )
