"""Rotary positions: features turn by an angle that grows with position."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.ops.positions.sinusoidal import frequencies


@dataclass(frozen=True)
class Rotary:
    r"""Turn each pair of features (x_{2i}, x_{2i+1}) at position t by t·ω_i, ω_i = base^(−2i/features).

    Su et al. 2021, https://arxiv.org/abs/2104.09864. Inner products then depend on distance alone. Features past
    `features` stay as they are (partial rotation). Odd or too many `features` raise ShapeError.

    >>> import torch
    >>> rotary = Rotary(4)
    >>> x = torch.randn(3, 4)
    >>> torch.allclose(rotary.rotate(x).norm(dim=-1), x.norm(dim=-1))
    True
    """

    features: int
    base: float = 10000.0

    def __post_init__(self) -> None:
        frequencies(self.features, self.base, None)

    def rotate(self, values: Tensor, start: int | Tensor = 0) -> Tensor:
        """Turn (..., length, features): positions count from `start`, or are the tensor (length,) given."""
        length, features = values.shape[-2:]
        if features < self.features:
            raise ShapeError(
                f"Rotary turns {self.features} features, but these have {features} (shape {tuple(values.shape)}); "
                f"make Rotary(features={features}) or fewer."
            )
        cosine, sine = self._waves(length, start, values)
        first, second = values[..., 0 : self.features : 2], values[..., 1 : self.features : 2]
        turned = torch.stack([first * cosine - second * sine, first * sine + second * cosine], -1)
        return torch.cat([turned.flatten(-2), values[..., self.features :]], -1)

    def _waves(self, length: int, start: int | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(start, Tensor):
            if start.shape != (length,):
                raise ShapeError(
                    f"positions have shape {tuple(start.shape)}; give ({length},), one a token."
                )
            position = start.to(torch.float64)
        else:
            position = torch.arange(start, start + length, dtype=torch.float64, device=like.device)
        angle = position[:, None] * frequencies(self.features, self.base, like.device)
        return angle.cos().to(like.dtype), angle.sin().to(like.dtype)
