"""Sparsemax and entmax in PyTorch operations, differentiable and usable under torch.func and torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.normalizers.base import mask_low, mask_zero

# Scores are clamped to this distance below the row's maximum. Under entmax up to α = 2 they have no weight there, and
# unlike the lowest finite number the clamped value can be squared and summed without overflow.
FAR_BELOW = 1e4
BISECTIONS = {torch.float32: 30, torch.float64: 60}


def plain_sparsemax(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Sparsemax by sorting; supports double backward."""
    shifted = shift(scores, keep)
    support = sparsemax_support(shifted.detach())
    count = support.sum(-1, keepdim=True).clamp(min=1)
    threshold = (mask_zero(shifted, support).sum(-1, keepdim=True) - 1) / count
    return mask_zero(mask_zero(shifted - threshold, support), keep)


def plain_entmax(scores: Tensor, keep: Tensor | None, alpha: float | Tensor) -> Tensor:
    """Entmax by sorting (α = 1.5) or bisection; supports double backward, also with respect to α."""
    excess = alpha.to(scores.dtype)[..., None, None] - 1 if isinstance(alpha, Tensor) else alpha - 1
    scaled = shift(scores, keep) * excess
    with torch.no_grad():
        exact = not isinstance(alpha, Tensor) and alpha == 1.5
        threshold = entmax15_threshold(scaled) if exact else bisect(scaled, excess)
    # A Newton step at the solution leaves its value unchanged and, by the implicit function theorem, gives it the
    # right first derivative; a second step gives the second derivative.
    for _ in range(2):
        power, slope = powers(scaled - threshold, excess)
        threshold = threshold + (power.sum(-1, keepdim=True) - 1) / slope.sum(-1, keepdim=True)
    return mask_zero(powers(scaled - threshold, excess)[0], keep)


def shift(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Subtract each row's maximum, and clamp scores far below it (see `FAR_BELOW`).

    The maximum is detached, since the weights do not depend on it.
    """
    low = mask_low(scores, keep)
    shifted = low - low.detach().amax(-1, keepdim=True)
    return shifted.clamp(min=-FAR_BELOW)


def sparsemax_support(shifted: Tensor) -> Tensor:
    """The support of each row, the entries above the threshold found by sorting."""
    ordered = shifted.sort(-1, descending=True).values
    rank = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device, dtype=ordered.dtype)
    cumulative = ordered.cumsum(-1) - 1
    count = (rank * ordered > cumulative).sum(-1, keepdim=True).clamp(min=1)
    threshold = cumulative.gather(-1, count - 1) / count
    return shifted > threshold


def entmax15_threshold(scaled: Tensor) -> Tensor:
    """τ for α = 1.5, by sorting: on a known support the condition on τ is a quadratic equation."""
    ordered = scaled.sort(-1, descending=True).values
    rank = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device, dtype=ordered.dtype)
    mean = ordered.cumsum(-1) / rank
    variance_sum = rank * (ordered.square().cumsum(-1) / rank - mean.square())
    threshold = mean - ((1 - variance_sum) / rank).clamp(min=0).sqrt()
    count = (threshold <= ordered).sum(-1, keepdim=True).clamp(min=1)
    return threshold.gather(-1, count - 1)


def bisect(scaled: Tensor, excess: float | Tensor) -> Tensor:
    """τ by bisection: with maximum 0 it lies in [−1, −n^{−(α−1)}], where the sum falls from ≥ 1 to ≤ 1."""
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
    """[x]₊^{1/(α−1)} and its derivative with respect to x; outside the support the gradient is 0, never NaN."""
    support = above > 0
    inside = torch.where(support, above, 1.0)
    power = mask_zero(inside ** (1 / excess), support)
    slope = mask_zero(inside ** (1 / excess - 1) / excess, support)
    return power, slope
