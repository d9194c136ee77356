"""Mask and bias of a call, combined into the `attn_mask` of scaled_dot_product_attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from heedful.ops.backends.base import wide_dtype
from heedful.ops.call import Call, bias_at
from heedful.ops.finite import is_eager
from heedful.ops.jit.operators import needs_dispatch
from heedful.ops.masks import Dense, Mask, Padding
from heedful.ops.masks.base import conjuncts

MAX_CACHED_CELLS = 2**18
"""Largest queries × keys for which a static mask is cached between calls."""
MaskBuilder = Callable[[Call, torch.dtype], Tensor | None]
"""(call, dtype of the scores) -> `attn_mask`: boolean, or floating-point to be added; None if nothing is masked."""


def mask_builder(call: Call) -> MaskBuilder | None:
    """Return the builder of `attn_mask` for calls of this signature; None without mask and bias."""
    mask, bias = call.mask, call.bias
    if mask is None and bias is None:
        return None
    if len(call.lead) == 2 and call.query.is_cpu and is_eager() and not needs_dispatch(call.query):
        if (
            mask is None
            and isinstance(bias, Tensor)
            and bias.dtype == call.query.dtype == wide_dtype(bias.dtype)
        ):
            return lambda call, _: call.bias  # type: ignore[return-value]
        if bias is None and type(mask) is Dense:
            return lambda call, _: call.mask.keep  # type: ignore[union-attr]
        if bias is None and mask is not None:
            return _cached_builder(call, mask) or _build
    return _build


def _cached_builder(call: Call, mask: Mask) -> MaskBuilder | None:
    """The builder for static masks and at most one padding, whose tensors are cached between calls; else None."""
    parts = conjuncts(mask)
    paddings = [place for place, part in enumerate(parts) if type(part) is Padding]
    static_masks = tuple(part for part in parts if part.is_static)
    if len(paddings) + len(static_masks) != len(parts) or len(paddings) > 1:
        return None
    if static_masks and call.num_queries * call.num_keys > MAX_CACHED_CELLS:
        return None
    if not paddings:
        return partial(_static, static_masks)
    padding = parts[paddings[0]]
    if not isinstance(padding, Padding) or padding.key_lengths.shape != call.lead[:1]:
        return None
    return partial(_static_and_padding, static_masks, paddings[0])


def _static(static_masks: tuple[Mask, ...], call: Call, dtype: torch.dtype) -> Tensor:
    return additive_mask(static_masks, call.num_queries, call.num_keys, dtype)


def _static_and_padding(
    static_masks: tuple[Mask, ...], place: int, call: Call, dtype: torch.dtype
) -> Tensor | None:
    padding = conjuncts(call.mask)[place] if static_masks else call.mask
    assert isinstance(padding, Padding)
    added = padding.added(call.lead[0], call.num_keys, dtype)
    if added is None or not static_masks:
        return added
    return added + additive_mask(static_masks, call.num_queries, call.num_keys, dtype)


@lru_cache(64)
def additive_mask(
    static_masks: tuple[Mask, ...], num_queries: int, num_keys: int, dtype: torch.dtype
) -> Tensor:
    """Additive mask of static masks: (query, key) on the CPU, 0 or minus infinity. Cached between calls."""
    with torch.inference_mode(False):  # autograd cannot save inference tensors
        keep = torch.ones(num_queries, num_keys, dtype=torch.bool, device="cpu")
        for mask in static_masks:
            keep &= mask.dense(num_queries, num_keys, device="cpu")
        return torch.zeros(keep.shape, dtype=dtype, device="cpu").masked_fill_(~keep, -torch.inf)


def _build(call: Call, dtype: torch.dtype) -> Tensor | None:
    """`attn_mask` for any mask and bias, not cached."""
    rows = call.rows
    keep = None if call.mask is None else call.mask.tile(rows)
    if call.bias is None:
        return keep
    # The dtype of the scores: half precision would round the biases of different distances to the same number.
    bias = bias_at(call.bias, rows).to(dtype)
    return bias if keep is None else torch.where(keep, bias, -torch.inf)
