"""Sparsemax and entmax by plain mathematics, which autograd, torch.func and torch.compile see through."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.normalizers.base import mask_low, mask_zero

# A score this far below the row's highest can have no weight under sparsemax or entmax up to alpha = 2, and numbers
# this size can be squared and summed without loss where the lowest finite number cannot.
FAR_BELOW = 1e4
BISECTIONS = {torch.float32: 30, torch.float64: 60}


def plain_sparsemax(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Sparsemax by sorting; differentiable twice."""
    shifted = shift(scores, keep)
    support = sparsemax_support(shifted.detach())
    count = support.sum(-1, keepdim=True).clamp(min=1)
    threshold = (mask_zero(shifted, support).sum(-1, keepdim=True) - 1) / count
    return mask_zero(mask_zero(shifted - threshold, support), keep)


def plain_entmax(scores: Tensor, keep: Tensor | None, alpha: float | Tensor) -> Tensor:
    """Entmax by sorting (α = 1.5) or bisection; differentiable twice, also with respect to α."""
    excess = alpha.to(scores.dtype)[..., None, None] - 1 if isinstance(alpha, Tensor) else alpha - 1
    scaled = shift(scores, keep) * excess
    with torch.no_grad():
        exact = not isinstance(alpha, Tensor) and alpha == 1.5
        threshold = entmax15_threshold(scaled) if exact else bisect(scaled, excess)
    # Newton steps from the solution change nothing of its value, but carry its first (one step) and second
    # (two steps) derivatives: the implicit function theorem, written as arithmetic that autograd knows.
    for _ in range(2):
        power, slope = powers(scaled - threshold, excess)
        threshold = threshold + (power.sum(-1, keepdim=True) - 1) / slope.sum(-1, keepdim=True)
    return mask_zero(powers(scaled - threshold, excess)[0], keep)


def shift(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Subtract each row's highest score, and pull what cannot matter up to a number that is safe to square.

    The subtracted number is a constant for autograd: the weights do not depend on it.
    """
    low = mask_low(scores, keep)
    shifted = low - low.detach().amax(-1, keepdim=True)
    return shifted.clamp(min=-FAR_BELOW)


def sparsemax_support(shifted: Tensor) -> Tensor:
    """Which entries of each row have weight: those above the threshold that sorting finds."""
    ordered = shifted.sort(-1, descending=True).values
    rank = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device, dtype=ordered.dtype)
    cumulative = ordered.cumsum(-1) - 1
    count = (rank * ordered > cumulative).sum(-1, keepdim=True).clamp(min=1)
    threshold = cumulative.gather(-1, count - 1) / count
    return shifted > threshold


def entmax15_threshold(scaled: Tensor) -> Tensor:
    """τ for α = 1.5, where the condition is a quadratic in τ once the support is known."""
    ordered = scaled.sort(-1, descending=True).values
    rank = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device, dtype=ordered.dtype)
    mean = ordered.cumsum(-1) / rank
    spread = rank * (ordered.square().cumsum(-1) / rank - mean.square())
    threshold = mean - ((1 - spread) / rank).clamp(min=0).sqrt()
    count = (threshold <= ordered).sum(-1, keepdim=True).clamp(min=1)
    return threshold.gather(-1, count - 1)


def bisect(scaled: Tensor, excess: float | Tensor) -> Tensor:
    """τ by halving: with the highest entry 0 it lies between −1 and −n^{−(α−1)}, where the sum is ≥ 1 and ≤ 1."""
    count = scaled.shape[-1]
    low = scaled.new_full((*scaled.shape[:-1], 1), -1.0)
    width = (1.0 - (1.0 / count) ** excess) if count else 0.0
    for _ in range(BISECTIONS.get(scaled.dtype, 60)):
        width = width / 2
        middle = low + width
        total = powers(scaled - middle, excess)[0].sum(-1, keepdim=True)
        low = torch.where(total >= 1, middle, low)
    return low


def powers(above: Tensor, excess: float | Tensor) -> tuple[Tensor, Tensor]:
    """[x]₊^{1/(α−1)} and its derivative with respect to x, with gradient 0 (never NaN) outside the support."""
    support = above > 0
    inside = torch.where(support, above, 1.0)
    power = mask_zero(inside ** (1 / excess), support)
    slope = mask_zero(inside ** (1 / excess - 1) / excess, support)
    return power, slope
