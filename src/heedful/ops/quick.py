"""The shortest way to PyTorch's kernel, for calls that want nothing prepared, widened, folded, chosen or told.

The long way (check, plan, run) takes longer than the attention of a short sequence. Here a call is taken only where all
is plainly in order and the planner would choose `sdpa`; whatever is not, right or wrong, goes the long way, which knows
what to say of it.

Whoever attends to more than a few words finds this code outside the caches each time: what counts is how many different
functions are entered. So what the kernel itself refuses (dtypes or devices that differ) is left to it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling
from torch.nn import Parameter
from torch.nn import functional as F

from heedful.ops.backends.band.backend import is_short
from heedful.ops.finite import reading
from heedful.ops.jit.kernel import unavailable
from heedful.ops.masks import Causal, Dense, Mask, Padding
from heedful.ops.masks.base import And
from heedful.ops.masks.sequences import causal_padding
from heedful.ops.positions import PositionBias
from heedful.ops.scores import Dot, PreparedKey, ScaledDot, Score

# Whether torch.func is at work (`finite.inside_func`), and autocast on any device: neither is asked while compiling.
_functions_at_work = torch._C._functorch.get_dynamic_layer_stack_depth
_autocast_at_work = torch._C._is_any_autocast_enabled
# Masks, besides none, under which compiled kernels are faster where there is more than a little to do.
_COMPILED = (Causal, Padding, And)
# Up to this length what hides the future is kept from call to call.
_LONGEST = 512
_tracing_state = torch._C._get_tracing_state
_kernel = F.scaled_dot_product_attention


def quick(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    score: Score,
    mask: Mask | Tensor | None,
    bias: Tensor | PositionBias | None,
) -> Tensor | None:
    """The output of a call under softmax, (batch, heads, query, value); None where it must go the long way."""
    if is_dynamo_compiling() or (type(score) is not ScaledDot and type(score) is not Dot):
        return None
    if type(key) is PreparedKey and key.score == score.name:
        key = key.features  # These scores leave keys as they are.
    # Any other class may mean something of its own by an operation.
    if (
        (type(query) is not Tensor and type(query) is not Parameter)
        or (type(key) is not Tensor and type(key) is not Parameter)
        or (type(value) is not Tensor and type(value) is not Parameter)
    ):
        return None
    shape, key_shape, dtype = query.shape, key.shape, query.dtype
    if (
        len(shape) != 4
        or key_shape != value.shape
        or (shape != key_shape and not _alike(shape, key_shape))
        or 0 in shape
        or (dtype is not torch.float32 and dtype is not torch.float64)
        or not query.is_cpu
        or _autocast_at_work()
        or _functions_at_work()
        or _tracing_state() is not None
    ):
        return None
    if bias is None and (mask is None or type(mask) in _COMPILED) and _is_long(shape, key_shape):
        return None  # Compiled kernels are faster.
    scale = score.scale if type(score) is ScaledDot else 1.0  # None is what `scale_for` gives.
    try:
        if mask is None and bias is None:
            return _kernel(query, key, value, scale=scale)
        if type(mask) is Causal and bias is None and shape == key_shape:
            return _masked(query, key, value, None, True, scale)
        added = _added(query, key_shape[2], mask, bias)
        return None if added is None else _masked(query, key, value, added, False, scale)
    except RuntimeError:
        return None


def _is_long(shape: torch.Size, key_shape: torch.Size) -> bool:
    """Whether the planner would take compiled kernels."""
    batch, heads, length, features = shape
    pairs = batch * heads * length * key_shape[2]
    return not is_short(length, pairs, features, features) and unavailable() is None


def _alike(shape: torch.Size, key_shape: torch.Size) -> bool:
    """Whether only the lengths of query and key differ, and there is a key."""
    return (
        len(key_shape) == 4
        and shape[:2] == key_shape[:2]
        and shape[3] == key_shape[3]
        and key_shape[2] > 0
    )


def _added(
    query: Tensor, num_keys: int, mask: Mask | Tensor | None, bias: Tensor | PositionBias | None
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
        return mask.added(query.shape[0], num_keys, query.dtype)
    elif type(mask) is And:
        padding = causal_padding(mask)
        if padding is None or query.shape[2] != num_keys or num_keys > _LONGEST:
            return None
        hidden = padding.added(query.shape[0], num_keys, query.dtype)
        return None if hidden is None else hidden + _future(num_keys, query.dtype)
    else:
        keep = mask.keep if type(mask) is Dense else mask
        if type(keep) is not Tensor or keep.dtype is not torch.bool:
            return None
        added = keep
    shape = added.shape
    if shape == (query.shape[2], num_keys):
        return added if added.is_cpu else None
    wanted = (*query.shape[:3], num_keys)
    fits = shape == wanted or (
        len(shape) in (2, 4)
        and all(got in (1, full) for got, full in zip(shape[::-1], wanted[::-1], strict=False))
    )
    return added if fits and added.is_cpu else None


@lru_cache(64)
def _future(length: int, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.full((length, length), -torch.inf, dtype=dtype, device="cpu").triu_(1)


def _masked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    added: Tensor | None,
    causal: bool,
    scale: float | None,
) -> Tensor | None:
    """Run the kernel under a mask; None where what is not finite might have come through.

    The kernel adds minus infinity to each hidden score, takes exp, sums, and multiplies every value by its weight. A
    hidden score is minus infinity after that, or NaN where the products were NaN or plus infinity. NaN makes the row's
    sum NaN, and with it the output. Minus infinity gives the weight 0, whose product with a value that is not finite
    is NaN. So a finite output holds nothing hidden, and every value was finite.

    The backward pass multiplies gradients of scores, 0 where hidden, by keys and queries. These may still be infinite
    under a finite output: a score of minus infinity weighs 0 wherever it comes from. So there they are looked at.
    """
    output = _kernel(query, key, value, added, 0.0, causal, scale=scale)
    total = reading(output)
    if output.requires_grad:
        total += reading(query, key)
    return output if total - total == 0.0 else None  # NaN for what is not finite.
