"""Sparsemax and entmax by compiled CPU kernels, with closed-form derivatives of any order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heedful.ops.normalizers.base import mask_zero
from heedful.ops.normalizers.sparse_kernel import STEEPEST, sparse_gradient, sparse_weights


def sparse_by_rows(scores: Tensor, keep: Tensor | None, alpha: float | Tensor) -> Tensor:
    """[(α−1)e − τ]₊^{1/(α−1)} of CPU scores (..., query, key) where `keep`; a tensor `alpha` broadcasts to heads."""
    if not isinstance(alpha, Tensor):
        alpha = torch.tensor(alpha, dtype=torch.float64, device="cpu")
    weights: Tensor = _SparseFunction.apply(scores, keep, alpha)  # type: ignore[no-untyped-call]
    return weights


class _SparseFunction(torch.autograd.Function):
    """Saves only the weights and α for backward.

    Under double backward the gradient is computed by differentiable operations on the saved weights, whose own
    gradient goes through this function again.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, keep: Tensor | None, alpha: Tensor) -> Tensor:
        weights = sparse_weights(scores, keep, _excess_of_rows(alpha, scores.shape))
        ctx.save_for_backward(weights, alpha)
        return weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        weights, alpha = ctx.saved_tensors
        needs_scores, _, needs_alpha = ctx.needs_input_grad
        scores_gradient = alpha_gradient = None
        if needs_alpha:
            alpha_gradient = _gradient_of_alpha(weights, gradient, alpha)
        if needs_scores and torch.is_grad_enabled():
            slope, total = _slopes(weights, alpha)
            gradient = mask_zero(gradient, weights != 0)
            # Counted from the gradient of the smallest weight, whose slope is the largest for α > 2.
            smallest = torch.where(weights == 0, torch.inf, weights).argmin(-1, keepdim=True)
            gradient = gradient - gradient.gather(-1, smallest)
            mean = (slope * gradient).sum(-1, keepdim=True) / total
            scores_gradient = (slope * (gradient - mean)).to(weights.dtype)
        elif needs_scores:
            excess = _excess_of_rows(alpha, weights.shape)
            scores_gradient = sparse_gradient(weights, gradient, excess)
        return scores_gradient, None, alpha_gradient


def _excess_of_rows(alpha: Tensor, shape: torch.Size) -> Tensor:
    """α − 1 in float64: (1,), or one element per row of scores of this shape."""
    excess = alpha.detach().double() - 1
    if excess.numel() == 1:
        return excess.reshape(1)
    return excess[..., None].expand(shape[:-1]).reshape(-1)


def _slopes(weights: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """The slope s = w^{2−α} where w ≠ 0, else 0, and its sum over each row, replaced by 1 where that is 0.

    In float64, since it overflows float32 where α is large.
    """
    support = weights != 0
    exponent = 2 - (alpha.double()[..., None, None] if alpha.ndim else alpha.double())
    slope = torch.where(support, weights.double(), 1.0) ** exponent
    slope = mask_zero(slope.clamp(max=STEEPEST), support)
    total = slope.sum(-1, keepdim=True)
    return slope, torch.where(total == 0, 1.0, total)


def _gradient_of_alpha(weights: Tensor, gradient: Tensor, alpha: Tensor) -> Tensor:
    """Σ_i g_i ∂w_i/∂α (Correia et al. 2019, proposition 1), summed over the axes on which α is shared.

    ∂w/∂α = (w − r)/(α−1)² + (h − r·Σh)/(α−1), with r = s/Σs and h = −w ln w.
    """
    support = weights != 0
    slope, total = _slopes(weights, alpha)
    share = slope / total
    entropy = -weights * torch.where(support, weights, 1.0).log()
    excess = (alpha.to(weights.dtype)[..., None, None] if alpha.ndim else alpha) - 1
    change = (weights - share) / excess**2
    change = change + (entropy - share * entropy.sum(-1, keepdim=True)) / excess
    rows = (mask_zero(gradient, support) * change).sum((-2, -1))
    return rows.sum_to_size(alpha.shape).to(alpha.dtype)
