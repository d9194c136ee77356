"""Cross-entropy with label smoothing that touches the logits, the largest tensor of all, least often."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def smoothed_cross_entropy(logits: Tensor, wanted: Tensor, smoothing: float = 0.0) -> Tensor:
    r"""Sum over positions of :math:`\log\sum_v e^{z_v} - (1-s)\,z_y - \frac{s}{V}\sum_v z_v`.

    The value and the gradient of `torch.nn.functional.cross_entropy(..., label_smoothing=s,
    reduction="sum")`. The gradient, softmax - (1-s)·onehot - s/V, is formed with the value and is the
    only thing that is kept, so that the backward pass is one scaling of it.

    Args:
        logits: (positions, tokens), computed with in float32 or wider.
        wanted: (positions,), the true tokens.
        smoothing: s, the share of probability that is spread over all tokens.

    >>> logits, wanted = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    >>> round(float(smoothed_cross_entropy(logits, wanted)), 4)
    0.8201
    """
    total: Tensor = _SmoothedCrossEntropy.apply(logits, wanted, smoothing)  # type: ignore[no-untyped-call]
    return total


class _SmoothedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
        ctx.dtype = logits.dtype
        logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
        gradient = torch.softmax(logits, dim=-1)
        true = wanted[:, None]
        # log(softmax) at one token gives the log of the sum without a second pass over the row; where
        # that softmax underflows the sum is taken the long way
        picked, probability = logits.gather(1, true), gradient.gather(1, true)
        normalizer = picked - probability.log()
        if not bool((probability > torch.finfo(probability.dtype).tiny).all()):
            normalizer = torch.logsumexp(logits, dim=-1, keepdim=True)
        loss = normalizer - (1 - smoothing) * picked
        if smoothing:
            loss = loss - smoothing * logits.mean(dim=-1, keepdim=True)
            gradient.sub_(smoothing / logits.shape[-1])
        gradient.scatter_add_(1, true, torch.full_like(picked, smoothing - 1))
        ctx.save_for_backward(gradient)
        return loss.sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * upstream).to(ctx.dtype), None, None
