"""Rotary position embedding: pairs of features are rotated by an angle proportional to position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from heedful.errors import ShapeError, unknown_choice
from heedful.ops.positions.sinusoidal import frequencies

Layout = Literal["interleaved", "half"]
LAYOUTS: tuple[Layout, ...] = ("interleaved", "half")


@dataclass(frozen=True)
class Rotary:
    r"""Rotate each pair of features at position t by t·ω_i, ω_i = base^(−2i/features), i = 0 … features/2 − 1.

    Su et al. 2021, https://arxiv.org/abs/2104.09864. Inner products then depend on positions only through their
    difference. Only the first `features` features are rotated (partial rotation).

    With `layout="interleaved"`, as in the paper and GPT-J, pair i is (x_{2i}, x_{2i+1}); with `layout="half"`, as in
    GPT-NeoX and Llama as Hugging Face has it, pair i is (x_i, x_{i + features/2}). Weights trained with one layout
    want that layout.

    Raises:
        ShapeError: `features` is odd or below 2.
        OptionError: an unknown layout.

    >>> import torch
    >>> rotary = Rotary(4)
    >>> x = torch.randn(3, 4)
    >>> torch.allclose(rotary.rotate(x).norm(dim=-1), x.norm(dim=-1))
    True
    >>> Rotary(4, layout="half").rotate(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), start=1)
    tensor([[0.5403, 0.0000, 0.8415, 0.0000]])
    """

    features: int
    base: float = 10000.0
    layout: Layout = "interleaved"

    def __post_init__(self) -> None:
        frequencies(self.features, self.base, None)
        if self.layout not in LAYOUTS:
            raise unknown_choice("layout", self.layout, LAYOUTS)

    def angles(self, position: Tensor) -> Tensor:
        """Angles of the pairs at positions: (…) -> (…, features / 2), in float64."""
        return position[..., None] * frequencies(self.features, self.base, position.device)

    @property
    def description(self) -> str:
        """What is rotated and how; prepared keys of one description may meet the same queries."""
        halves = " by halves" if self.layout == "half" else ""
        return f"rotated in {self.features} features with base {self.base}{halves}"

    def rotate(self, values: Tensor, start: int | Tensor = 0) -> Tensor:
        """Rotate values (*batch, length, features) or (*batch, heads, length, features).

        `start` is the first position, or a tensor of the position of each token: (length,), the same for all, or one
        a sequence, (*batch, length), where heads share them, or (*batch, heads, length). Each axis is full or of size
        1. So packed sequences count anew, and padding on the left is not counted.

        Raises:
            ShapeError: too few features, or positions of another shape.
        """
        features = values.shape[-1]
        if features < self.features:
            raise ShapeError(
                f"Rotary rotates {self.features} features, but these have {features} (shape {tuple(values.shape)}); "
                f"make Rotary(features={features}) or fewer."
            )
        cosine, sine = self._cos_sin(values, start)
        half = self.features // 2
        if self.layout == "half":
            first, second = values[..., :half], values[..., half : self.features]
        else:
            first, second = values[..., 0 : self.features : 2], values[..., 1 : self.features : 2]
        pair = first * cosine - second * sine, first * sine + second * cosine
        rotated = (
            torch.cat(pair, -1) if self.layout == "half" else torch.stack(pair, -1).flatten(-2)
        )
        return torch.cat([rotated, values[..., self.features :]], -1)

    def _cos_sin(self, values: Tensor, start: int | Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angles, (*, length, features / 2), computed in float64."""
        length = values.shape[-2]
        if isinstance(start, Tensor):
            position = _aligned(start, values).to(torch.float64)
        else:
            position = torch.arange(
                start, start + length, dtype=torch.float64, device=values.device
            )
        angle = self.angles(position)
        return angle.cos().to(values.dtype), angle.sin().to(values.dtype)


def _aligned(positions: Tensor, values: Tensor) -> Tensor:
    """Positions with an axis of heads where the values have one, to broadcast to the axes but the last of `values`.

    Raises:
        ShapeError: another shape.
    """
    wanted, got = tuple(values.shape[:-1]), tuple(positions.shape)
    if 2 <= positions.ndim == len(wanted) - 1:
        positions = positions.unsqueeze(-2)
    sizes = zip(positions.shape[::-1], wanted[::-1], strict=False)
    is_shared = positions.ndim == 1 and got == wanted[-1:]
    if not is_shared and (
        positions.ndim != len(wanted) or any(size not in (1, full) for size, full in sizes)
    ):
        each = (*wanted[:-2], wanted[-1]) if len(wanted) > 2 else wanted
        per_sequence = f" or {each}, one a token of each sequence" if len(wanted) > 1 else ""
        raise ShapeError(
            f"positions have shape {got}; give ({wanted[-1]},), one a token{per_sequence}."
        )
    return positions
