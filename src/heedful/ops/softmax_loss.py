# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""A compiled kernel for cross-entropy: losses of rows of logits, and their gradient in the place of the logits.

A row is read three times while it is in the cache, and nothing of its size but one row of scratch is made.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor

from heedful.ops.finite import is_eager
from heedful.ops.jit.kernel import (
    drop_lanes,
    exp_below_one,
    inlined,
    keep_lanes,
    kernel,
    launch,
    load,
    maximum,
    offset_view,
    parts_for,
    reduce_max,
    reduce_sum,
    splat,
    store,
    unavailable,
)
from heedful.ops.jit.source import LANES

NANOSECONDS: Final = 0.4
"""Work a logit, on one thread."""
LEAST: Final = 2**16
"""Logits below which loading the kernel and calling it is not worth it."""
TYPES: Final = (torch.float32, torch.bfloat16)


def can_fuse(logits: Tensor) -> bool:
    """Whether `loss_and_gradient` serves such logits: on a CPU, in float32 or bfloat16, and enough of them."""
    return (
        logits.dtype in TYPES
        and logits.is_cpu
        and logits.is_contiguous()
        and logits.numel() >= LEAST
        and logits.shape[-1] >= LANES
        and is_eager()
        and unavailable() is None
    )


def loss_and_gradient(
    logits: Tensor, wanted: Tensor, smoothing: float, *, needs_gradient: bool
) -> Tensor:
    r"""Return the losses of rows of logits z; where the gradient is needed it takes the place of the logits.

    .. math:: L = \log\sum_v e^{z_v} - (1-s)\,z_y - \frac{s}{V}\sum_v z_v, \quad
        \frac{\partial L}{\partial z_v} = \mathrm{softmax}(z)_v - (1-s)\,[v = y] - \frac{s}{V}

    Sums are in float32, whatever the type of the logits. Label smoothing is that of Szegedy et al. 2016,
    https://arxiv.org/abs/1512.00567. Not differentiable.

    Args:
        logits: (rows, tokens), contiguous; see `can_fuse`.
        wanted: (rows,), the true tokens y.
        smoothing: s.
        needs_gradient: whether the logits are overwritten.

    Returns:
        The losses in float32: (rows,).

    >>> logits = torch.zeros(2, 16)
    >>> losses = loss_and_gradient(logits, torch.tensor([0, 3]), 0.0, needs_gradient=True)
    >>> bool((losses - math.log(16)).abs().max() < 1e-6), logits[1, 2:5].tolist()
    (True, [0.0625, -0.9375, 0.0625])
    """
    rows, tokens = logits.shape
    losses = torch.empty(rows, dtype=torch.float32)
    work = logits.numel() * NANOSECONDS
    parts = parts_for(work)
    space = torch.empty(parts * (tokens + 2 * LANES), dtype=torch.float32)
    sizes = rows, tokens, float(smoothing), needs_gradient
    launch(
        softmax_loss, *sizes, logits.view(-1), wanted.contiguous(), losses, space,
        work=work, parts=parts,
    )  # fmt: skip
    return losses


@kernel(no_refcount=True, halves=True)
def softmax_loss(
    part, parts, rows, tokens, smoothing, needs_gradient, logits, wanted, losses, space
):
    """Losses and gradients of one part's rows; each part has a row of scratch."""
    exponentials = offset_view(space, part * (space.shape[0] // parts))
    for row in range(rows * part // parts, rows * (part + 1) // parts):
        first = row * tokens
        top = row_maximum(logits, first, tokens)
        total, plain = write_exponentials(logits, first, tokens, top, exponentials)
        true, off = wanted[row], np.float32(smoothing)
        picked = number_at(logits, first, tokens, true)
        spread = off * (plain / np.float32(tokens)) if off > 0 else np.float32(0)
        losses[row] = math.log(total) + top - (np.float32(1) - off) * picked - spread
        if needs_gradient:
            exponentials[true] -= (np.float32(1) - off) * total
            low = off / np.float32(tokens)
            write_gradient(exponentials, tokens, np.float32(1) / total, low, logits, first)


@inlined(no_refcount=True)
def row_maximum(logits, first, tokens):
    """The maximum of a row, ignoring NaN; the last vector overlaps the one before."""
    top = load(logits, first + tokens - LANES)
    for j in range(0, tokens - LANES, LANES):
        top = maximum(load(logits, first + j), top)
    return reduce_max(top)


@inlined(no_refcount=True)
def write_exponentials(logits, first, tokens, top, exponentials):
    """Write e^(z - top) to the scratch, and return its sum and that of z."""
    whole = tokens // LANES * LANES
    total, plain = splat(np.float32(0)), splat(np.float32(0))
    for j in range(0, whole, LANES):
        row = load(logits, first + j)
        power = exp_below_one(row - top)
        store(exponentials, j, power)
        total, plain = total + power, plain + row
    if whole < tokens:
        # The last vector overlaps the one before; what is counted already is left out.
        begin = tokens - LANES
        new = ((1 << (tokens - whole)) - 1) << (LANES - (tokens - whole))
        row = load(logits, first + begin)
        power = exp_below_one(row - top)
        store(exponentials, begin, power)
        total, plain = total + drop_lanes(power, new), plain + drop_lanes(row, new)
    return reduce_sum(total), reduce_sum(plain)


@inlined(no_refcount=True)
def number_at(logits, first, tokens, index):
    """One number of a row, of which vectors alone can be read."""
    begin = min(index, tokens - LANES)
    return reduce_max(keep_lanes(load(logits, first + begin), 1 << (index - begin)))


@inlined(no_refcount=True)
def write_gradient(exponentials, tokens, factor, low, logits, first):
    """Write factor · e - low in the place of a row."""
    for j in range(0, tokens - LANES, LANES):
        store(logits, first + j, load(exponentials, j) * factor - low)
    begin = tokens - LANES
    store(logits, first + begin, load(exponentials, begin) * factor - low)
