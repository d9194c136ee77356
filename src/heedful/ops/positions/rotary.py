"""Rotary position embedding: pairs of features are rotated by an angle proportional to position."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.ops.positions.sinusoidal import frequencies


@dataclass(frozen=True)
class Rotary:
    r"""Rotate each pair of features (x_{2i}, x_{2i+1}) at position t by t·ω_i, ω_i = base^(−2i/features).

    Su et al. 2021, https://arxiv.org/abs/2104.09864. Inner products then depend on positions only through their
    difference. Only the first `features` features are rotated (partial rotation).

    Raises:
        ShapeError: `features` is odd or below 2.

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
        """Rotate (..., length, features); `start` is the first position, or a tensor (length,) of positions.

        Raises:
            ShapeError: too few features, or positions of another shape.
        """
        length, features = values.shape[-2:]
        if features < self.features:
            raise ShapeError(
                f"Rotary rotates {self.features} features, but these have {features} (shape {tuple(values.shape)}); "
                f"make Rotary(features={features}) or fewer."
            )
        cosine, sine = self._cos_sin(length, start, values)
        first, second = values[..., 0 : self.features : 2], values[..., 1 : self.features : 2]
        rotated = torch.stack([first * cosine - second * sine, first * sine + second * cosine], -1)
        return torch.cat([rotated.flatten(-2), values[..., self.features :]], -1)

    def _cos_sin(self, length: int, start: int | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angles, (length, features / 2), computed in float64."""
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
