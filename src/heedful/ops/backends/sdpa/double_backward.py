"""Second derivatives of PyTorch's fused kernel, which has first derivatives only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.ops.call import repeat_heads
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.normalizers import Softmax

FUSED_NODE = "ScaledDotProductFlashAttentionForCpuBackward0"
"""The node of autograd that the fused kernel leaves; the kernel that PyTorch takes otherwise has second derivatives."""


@dataclass(frozen=True, eq=False, slots=True)
class PlainGradients:
    """Arguments of the fused kernel, with four axes each. Called as a hook of its node of autograd.

    If gradients are enabled in the backward pass (`create_graph=True`), the gradients of the kernel are replaced by
    those of plain mathematics on all scores at once, which can be differentiated.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    added: Tensor | None
    """The mask, boolean or added to the scores."""
    is_causal: bool
    scale: float

    def __call__(
        self, found: tuple[Tensor | None, ...], upstream: tuple[Tensor | None, ...]
    ) -> tuple[Tensor | None, ...] | None:
        direction = upstream[0]
        if direction is None or not torch.is_grad_enabled():
            return None
        operands = (self.query, self.key, self.value)
        gradients = differentiable_gradients(self._attend, operands, [direction])
        return (*gradients, *found[3:])

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """The output by plain mathematics; 0 where every key is masked."""
        groups = query.shape[1] // key.shape[1]
        scores = query @ repeat_heads(key, groups).mT * self.scale
        keep: Tensor | None = None
        if self.is_causal:
            keep = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        elif self.added is not None and self.added.dtype == torch.bool:
            keep = self.added
        elif self.added is not None:
            keep = self.added != -torch.inf
            scores = scores + torch.where(keep, self.added, 0.0)
        if keep is not None:
            keep = keep.expand(scores.shape)
        return [Softmax().weights(scores, keep) @ repeat_heads(value, groups)]


def with_second_derivatives(
    output: Tensor, query: Tensor, key: Tensor, value: Tensor, added: Tensor | None,
    is_causal: bool, scale: float,
) -> None:  # fmt: skip
    """Give the output of the fused kernel second derivatives; its other arguments are those of the kernel.

    >>> x = torch.randn(1, 1, 3, 8, requires_grad=True)
    >>> output = torch.nn.functional.scaled_dot_product_attention(x, x, x, scale=0.5)
    >>> with_second_derivatives(output, x, x, x, None, False, 0.5)
    >>> (first,) = torch.autograd.grad(output.sin().sum(), x, create_graph=True)
    >>> torch.autograd.grad(first.sum(), x)[0].shape
    torch.Size([1, 1, 3, 8])
    """
    node = output.grad_fn
    if node is not None and node.name() == FUSED_NODE:
        node.register_hook(PlainGradients(query, key, value, added, is_causal, scale))
