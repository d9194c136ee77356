"""Sinusoidal position embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.errors import ShapeError


def frequencies(features: int, base: float, device: torch.device | None) -> Tensor:
    """Angular frequencies ω_i = base^(−2i/features), i = 0 … features/2 − 1, in float64: (features / 2,).

    Raises:
        ShapeError: `features` is odd or below 2.
    """
    if features % 2 or features < 2:
        raise ShapeError(
            f"sines and cosines come in pairs of features, but features is {features}; make it even, 2 or more."
        )
    exponent = torch.arange(0, features, 2, dtype=torch.float64, device=device) / features
    return base**-exponent


def sinusoidal(
    length: int,
    features: int,
    *,
    start: int = 0,
    base: float = 10000.0,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""p[t, 2i] = sin(t·ω_i), p[t, 2i+1] = cos(t·ω_i), ω_i = base^(−2i/features).

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5. The result is (length, features) for positions
    t = `start` … `start + length − 1`.

    Raises:
        ShapeError: `features` is odd or below 2.

    >>> sinusoidal(2, 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    position = torch.arange(start, start + length, dtype=torch.float64, device=device)
    angle = position[:, None] * frequencies(features, base, device)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2).to(dtype)
