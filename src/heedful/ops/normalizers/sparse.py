"""Sparse relatives of softmax: most weights are exactly 0, and the rest still sum to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.errors import OptionError
from heedful.ops.normalizers.base import Normalizer, mask_low, mask_zero
from heedful.ops.normalizers.softmax import Softmax

# A score this far below the row's highest can have no weight under sparsemax or entmax up to alpha = 2, and numbers
# this size can be squared and summed without loss where the lowest finite number cannot.
FAR_BELOW = 1e4
BISECTIONS = {torch.float32: 30, torch.float64: 60}


@dataclass(frozen=True)
class Sparsemax(Normalizer):
    r"""w = argmin over the simplex of ‖w − e‖² (Martins & Astudillo 2016, https://arxiv.org/abs/1602.02068).

    w_j = max(e_j − τ, 0) with τ such that the weights sum to 1. Exact, by sorting; differentiable twice.

    >>> import torch
    >>> Sparsemax().weights(torch.tensor([[1.0, 0.8, -1.0]]), None)
    tensor([[0.6000, 0.4000, 0.0000]])
    """

    name: ClassVar[str] = "sparsemax"
    cells_kept: ClassVar[int] = 2

    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        shifted = shift(scores, keep)
        support = sparsemax_support(shifted.detach())
        count = support.sum(-1, keepdim=True).clamp(min=1)
        threshold = (mask_zero(shifted, support).sum(-1, keepdim=True) - 1) / count
        return mask_zero(mask_zero(shifted - threshold, support), keep)


@dataclass(frozen=True, eq=False)
class Entmax(Normalizer):
    r"""w_j = [(α−1)e_j − τ]₊^{1/(α−1)}, τ such that Σw = 1 (Peters et al. 2019, https://arxiv.org/abs/1905.05702).

    `alpha` is a number, 1 (softmax) or more, or a tensor (*) above 1 that broadcasts against heads and is learned
    (Correia et al. 2019, https://arxiv.org/abs/1909.00015). α = 2 is sparsemax. α = 1.5 is solved exactly by
    sorting, others by bisection; all are differentiable twice, also with respect to α.

    >>> import torch
    >>> Entmax(1.5).weights(torch.tensor([[1.0, 0.8, -3.0]]), None)
    tensor([[0.5705, 0.4295, 0.0000]])
    """

    alpha: float | Tensor
    name: ClassVar[str] = "entmax"
    cells_kept: ClassVar[int] = 12

    def __post_init__(self) -> None:
        if not isinstance(self.alpha, Tensor) and not self.alpha >= 1:
            raise OptionError(
                f"Entmax(alpha={self.alpha}): alpha is 1 (softmax) or more; 2 is sparsemax."
            )

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.alpha,) if isinstance(self.alpha, Tensor) else ()

    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        if not isinstance(self.alpha, Tensor):
            if self.alpha == 1:
                return Softmax().weights(scores, keep)
            if self.alpha == 2:
                return Sparsemax().weights(scores, keep)
        alpha = self.alpha
        excess = (
            alpha.to(scores.dtype)[..., None, None] - 1 if isinstance(alpha, Tensor) else alpha - 1
        )
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
