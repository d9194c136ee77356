"""The shortest way to PyTorch's kernel, for calls that want nothing prepared, widened, folded, chosen or told.

The long way (check, plan, run) takes longer than the attention of a short sequence. Here a call is taken only where all
is plainly in order and the planner would choose `sdpa`; whatever is not, right or wrong, goes the long way, which knows
what to say of it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.nn import functional as F

from heedful.ops.finite import inside_func
from heedful.ops.masks import Causal, Dense, Mask, Padding
from heedful.ops.positions import PositionBias
from heedful.ops.scores import Dot, PreparedKey, ScaledDot, Score


def quick(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    score: Score,
    mask: Mask | Tensor | None,
    bias: Tensor | PositionBias | None,
) -> Tensor | None:
    """The output of a call under softmax, (batch, heads, query, value); None where it must go the long way."""
    if type(score) is not ScaledDot and type(score) is not Dot:
        return None
    if type(key) is PreparedKey and key.score == score.name:
        key = key.features  # These scores leave keys as they are.
    if (
        type(query) is not Tensor
        or type(key) is not Tensor
        or type(value) is not Tensor
        or not _fit(query, key, value)
        or is_compiling()
        or torch.is_autocast_enabled("cpu")
        or inside_func()
    ):
        return None
    scale = score.scale_for(query.shape[-1]) if type(score) is ScaledDot else 1.0
    if mask is None and bias is None:
        return F.scaled_dot_product_attention(query, key, value, scale=scale)
    causal = type(mask) is Causal and bias is None and query.shape == key.shape
    added = None if causal else _added(query, key, mask, bias)
    if causal or added is not None:
        return _masked(query, key, value, added, causal, scale)
    return None


def _fit(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether these are (batch, heads, length, features) of sizes, a device and a dtype that are served as they are."""
    shape, key_shape, dtype = query.shape, key.shape, query.dtype
    return (
        len(shape) == 4
        and (
            shape == key_shape
            or (len(key_shape) == 4 and shape[:2] == key_shape[:2] and shape[3] == key_shape[3])
        )
        and key_shape == value.shape
        and (dtype is torch.float32 or dtype is torch.float64)
        and key.dtype is dtype
        and value.dtype is dtype
        and query.is_cpu
        and key.is_cpu
        and value.is_cpu
        and 0 not in shape
        and 0 not in key_shape
    )


def _added(
    query: Tensor,
    key: Tensor,
    mask: Mask | Tensor | None,
    bias: Tensor | PositionBias | None,
) -> Tensor | None:
    """Mask or bias as the tensor that the kernel keeps by or adds; None where it must go the long way."""
    if mask is None:
        # The kernel forms all the scores where a gradient is wanted for the bias.
        if type(bias) is not Tensor or bias.dtype is not query.dtype or bias.requires_grad:
            return None
        added = bias
    elif bias is not None:
        return None
    elif type(mask) is Padding:
        lengths = mask.key_lengths
        if lengths.shape != query.shape[:1] or not lengths.is_cpu:
            return None
        return torch.arange(key.shape[2]) < lengths[:, None, None, None]
    else:
        keep = mask.keep if type(mask) is Dense else mask
        if type(keep) is not Tensor or keep.dtype is not torch.bool:
            return None
        added = keep
    shape = added.shape
    if shape == (query.shape[2], key.shape[2]):
        return added if added.is_cpu else None
    wanted = (*query.shape[:3], key.shape[2])
    fits = shape == wanted or (
        len(shape) in (2, 4)
        and all(got in (1, full) for got, full in zip(shape[::-1], wanted[::-1], strict=False))
    )
    return added if fits and added.is_cpu else None


def _masked(
    query: Tensor, key: Tensor, value: Tensor, added: Tensor | None, causal: bool, scale: float
) -> Tensor | None:
    """Run the kernel under a mask; None where what is not finite might have come through.

    The kernel adds minus infinity to each hidden score, takes exp, sums, and multiplies every value by its weight. A
    hidden score is minus infinity after that, or NaN where the products were NaN or plus infinity. NaN makes the row's
    sum NaN, and with it the output. Minus infinity gives the weight 0, whose product with a value that is not finite
    is NaN. So a finite output holds nothing hidden, and every value was finite.

    The backward pass multiplies gradients of scores, 0 where hidden, by keys and queries. These may still be infinite
    under a finite output: a score of minus infinity weighs 0 wherever it comes from. So there they are looked at, and
    before the kernel, which then finds them in the cache.
    """
    # A sum is finite only where all its terms are, and takes a hundredth of the time of `isfinite`; where large terms
    # overflow it, the long way looks at each.
    learns = query.requires_grad or key.requires_grad or value.requires_grad
    if learns and torch.is_grad_enabled():
        looked_at = query.detach().sum() + key.detach().sum()
        if not math.isfinite(looked_at.item()):
            return None
    output = F.scaled_dot_product_attention(
        query, key, value, attn_mask=added, is_causal=causal, scale=scale
    )
    total = output.detach().sum() if learns else output.sum()
    return output if math.isfinite(total.item()) else None
