"""Sparsemax and entmax in PyTorch operations, differentiable and usable under torch.func and torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.normalizers.base import mask_low, mask_zero

# Scores are clamped to this distance below the row's maximum. Under entmax up to α = 2 they have no weight there, and
# unlike the lowest finite number the clamped value can be squared and summed without overflow.
FAR_BELOW = 1e4
BISECTIONS = {torch.float32: 30, torch.float64: 60}
SMALLEST = {torch.float32: 1e-30, torch.float64: 1e-250}
"""Least −τ by which scores are divided."""


def plain_sparsemax(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Sparsemax by sorting; supports double backward."""
    shifted = shift(scores, keep)
    support = sparsemax_support(shifted.detach())
    count = support.sum(-1, keepdim=True).clamp(min=1)
    threshold = (mask_zero(shifted, support).sum(-1, keepdim=True) - 1) / count
    return mask_zero(mask_zero(shifted - threshold, support), keep)


def plain_entmax(scores: Tensor, keep: Tensor | None, alpha: float | Tensor) -> Tensor:
    """Entmax by sorting (α = 1.5) or bisection; supports double backward, also with respect to α."""
    if not isinstance(alpha, Tensor) and alpha == 1.5:
        return plain_entmax15(scores, keep)
    excess = alpha.to(scores.dtype)[..., None, None] - 1 if isinstance(alpha, Tensor) else alpha - 1
    scaled = shift(scores, keep) * excess
    with torch.no_grad():
        largest = bisect(scaled, excess)
        log_above = largest.log() * excess
        above = log_above.exp().clamp(min=SMALLEST[scaled.dtype])
    # w_j = (−τ)^{1/(α−1)} (1 + z_j/−τ + c)₊^{1/(α−1)} with c = 0 at the solution: unlike −τ, which is a high power of a
    # weight, these are numbers near 1. A Newton step for c at the solution leaves it unchanged and, by the implicit
    # function theorem, gives it the right first derivative; a second step gives the second derivative. The sum is
    # compared with itself, which is 1 but for the rounding of a weight near the threshold, where it may be steep.
    relative = 1 + scaled / above
    for _ in range(2):
        weights, slopes = relative_powers(relative, log_above, excess)
        total = weights.sum(-1, keepdim=True)
        relative = relative - (total - total.detach()) / slopes.sum(-1, keepdim=True)
    weights = relative_powers(relative, log_above, excess)[0]
    return mask_zero(weights / weights.detach().sum(-1, keepdim=True), keep)


def plain_entmax15(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Entmax for α = 1.5 by sorting; supports double backward."""
    scaled = shift(scores, keep) * 0.5
    with torch.no_grad():
        threshold = entmax15_threshold(scaled)
    for _ in range(2):  # as in `plain_entmax`
        above = (scaled - threshold).relu()
        step = (above.square().sum(-1, keepdim=True) - 1) / (2 * above.sum(-1, keepdim=True))
        threshold = threshold + step
    return mask_zero((scaled - threshold).relu().square(), keep)


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
    """The largest weight of each row, (..., 1), by bisection: it lies in [1/n, 1], where the sum rises to ≥ 1.

    `scaled` has the maximum 0, so −τ is the largest weight to the power α − 1, which may be too small for a number.
    """
    count = max(scaled.shape[-1], 1)
    low = scaled.new_full((*scaled.shape[:-1], 1), 1 / count)
    width = 1 - 1 / count
    for _ in range(BISECTIONS.get(scaled.dtype, 60)):
        width = width / 2
        middle = low + width
        above = scaled + middle**excess
        rest = mask_zero(torch.where(above > 0, above, 1.0) ** (1 / excess), above > 0)
        total = torch.where(scaled == 0, middle, rest).sum(-1, keepdim=True)
        low = torch.where(total <= 1, middle, low)
    return low


def relative_powers(
    relative: Tensor, log_above: Tensor, excess: float | Tensor
) -> tuple[Tensor, Tensor]:
    """(−τ·[x]₊)^{1/(α−1)} and its derivative with respect to x; outside the support the gradient is 0, never NaN."""
    support = relative > 0
    inside = torch.where(support, relative, 1.0)
    power = mask_zero(((log_above + inside.log()) / excess).exp(), support)
    return power, power / (inside * excess)
