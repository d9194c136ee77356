"""Mask and bias of a call as the one tensor that scaled_dot_product_attention takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from heedful.ops.call import Call, bias_at
from heedful.ops.finite import is_eager
from heedful.ops.jit.operators import needs_dispatch
from heedful.ops.masks import Dense, Mask, Padding
from heedful.ops.masks.base import conjuncts

MOST_KEPT_CELLS = 2**18
"""Queries × keys up to which a mask that follows from positions is kept from call to call."""
MaskBuilder = Callable[[Call, torch.dtype], Tensor | None]
"""Mask and bias of a call as the one tensor that the kernel adds to scores of a dtype, or keeps by."""


def mask_builder(call: Call) -> MaskBuilder | None:
    """How the mask and bias of calls of this signature are built; None where nothing is hidden or added."""
    mask, bias = call.mask, call.bias
    if mask is None and bias is None:
        return None
    if len(call.lead) == 2 and call.query.is_cpu and is_eager() and not needs_dispatch(call.query):
        if mask is None and isinstance(bias, Tensor) and bias.dtype == call.query.dtype:
            return lambda call, _: call.bias  # type: ignore[return-value]
        if bias is None and type(mask) is Dense:
            return lambda call, _: call.mask.keep  # type: ignore[union-attr]
        if bias is None and mask is not None:
            return _cached_builder(call, mask) or _build
    return _build


def _cached_builder(call: Call, mask: Mask) -> MaskBuilder | None:
    """For masks that follow from positions, joined to one padding or none: tensors that are kept from call to call."""
    parts = conjuncts(mask)
    paddings = [place for place, part in enumerate(parts) if type(part) is Padding]
    fixed = tuple(part for part in parts if part.is_static)
    if len(paddings) + len(fixed) != len(parts) or len(paddings) > 1:
        return None
    if fixed and call.num_queries * call.num_keys > MOST_KEPT_CELLS:
        return None
    if not paddings:
        return partial(_fixed, fixed)
    padding = parts[paddings[0]]
    if not isinstance(padding, Padding) or padding.key_lengths.shape != call.lead[:1]:
        return None
    return partial(_padded, fixed, paddings[0])


def _fixed(fixed: tuple[Mask, ...], call: Call, dtype: torch.dtype) -> Tensor:
    return additive_mask(fixed, call.num_queries, call.num_keys, dtype)


def _padded(fixed: tuple[Mask, ...], place: int, call: Call, dtype: torch.dtype) -> Tensor | None:
    padding = conjuncts(call.mask)[place] if fixed else call.mask
    assert isinstance(padding, Padding)
    hidden = padding.added(call.lead[0], call.num_keys, dtype)
    if hidden is None or not fixed:
        return hidden
    return hidden + additive_mask(fixed, call.num_queries, call.num_keys, dtype)


@lru_cache(64)
def additive_mask(
    fixed: tuple[Mask, ...], num_queries: int, num_keys: int, dtype: torch.dtype
) -> Tensor:
    """0 where masks that hold no tensor keep, minus infinity elsewhere: (query, key) on the CPU, kept between calls."""
    with torch.inference_mode(False):  # of what is made in it, autograd could keep nothing later
        keep = torch.ones(num_queries, num_keys, dtype=torch.bool, device="cpu")
        for mask in fixed:
            keep &= mask.dense(num_queries, num_keys, device="cpu")
        return torch.zeros(keep.shape, dtype=dtype, device="cpu").masked_fill_(~keep, -torch.inf)


def _build(call: Call, dtype: torch.dtype) -> Tensor | None:
    """Any mask and bias."""
    rows = call.rows
    keep = None if call.mask is None else call.mask.tile(rows)
    if call.bias is None:
        return keep
    # In half precision, biases as far apart as those of distant positions would be rounded to the same number.
    bias = bias_at(call.bias, rows).to(dtype)
    return bias if keep is None else torch.where(keep, bias, -torch.inf)
