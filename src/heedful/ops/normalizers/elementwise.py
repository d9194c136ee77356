"""Elementwise normalizers, whose weights need not sum to 1: `Sigmoid` and `ReLU`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.normalizers.base import Normalizer, mask_zero


@dataclass(frozen=True)
class Sigmoid(Normalizer):
    r"""w_j = 1 / (1 + exp(−e_j)) (Ramapuram et al. 2024, https://arxiv.org/abs/2409.04431).

    The paper adds −log(number of keys) to the scores; pass that as `bias`.

    >>> import torch
    >>> Sigmoid().weights(torch.zeros(1, 2), None).tolist()
    [[0.5, 0.5]]
    """

    name: ClassVar[str] = "sigmoid"
    is_static: ClassVar[bool] = True

    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        # Masked before and after: a masked score may be NaN, which sigmoid's derivative would pass to the gradient.
        return mask_zero(torch.sigmoid(mask_zero(scores, keep)), keep)


@dataclass(frozen=True)
class ReLU(Normalizer):
    r"""w_j = max(e_j, 0) / n, with n unmasked keys (Wortsman et al. 2023, https://arxiv.org/abs/2309.08586).

    >>> import torch
    >>> ReLU().weights(torch.tensor([[4.0, -1.0]]), None).tolist()
    [[2.0, 0.0]]
    """

    name: ClassVar[str] = "relu"
    is_static: ClassVar[bool] = True

    def cells_kept(self, masked: bool) -> int:
        return 2

    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        positive = torch.relu(mask_zero(scores, keep))
        if keep is None:
            return positive / max(scores.shape[-1], 1)
        count = keep.expand(*keep.shape[:-1], scores.shape[-1]).sum(-1, keepdim=True)
        return positive / count.clamp(min=1)
