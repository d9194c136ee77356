"""Softmax over the unmasked keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.normalizers.base import Normalizer, mask_low, mask_zero


@dataclass(frozen=True)
class Softmax(Normalizer):
    r"""w_j = exp(e_j) / Σ_k exp(e_k) over the unmasked keys k.

    >>> import torch
    >>> keep = torch.tensor([[True, True, False], [False, False, False]])
    >>> Softmax().weights(torch.zeros(2, 3), keep).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """

    name: ClassVar[str] = "softmax"
    is_static: ClassVar[bool] = True

    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        return mask_zero(torch.softmax(mask_low(scores, keep), -1), keep)
