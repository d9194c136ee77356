"""Modules for positions, in the input or as a bias on the scores, and the table of position schemes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError, unknown_choice
from heedful.nn.grid_positions import (
    GridALiBiPositions,
    GridRelativePositions,
    GridSinusoidalPositions,
)
from heedful.nn.position_base import BiasPositions, InputPositions
from heedful.nn.scores import build_score
from heedful.ops.grid import Grid
from heedful.ops.positions import ALiBi, GridRotary, RelativeBuckets, Rotary, sinusoidal


class SinusoidalPositions(InputPositions):
    r"""Sinusoidal positions (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math:: p_{t,2i} = \sin(t / 10000^{2i/d}), \quad p_{t,2i+1} = \cos(t / 10000^{2i/d})

    Args:
        embed_dim: features of a position; even.
        how: "add" or "concat".

    Shapes: (*batch, length, embed_dim) -> the same for "add"; (*batch, length, features) ->
    (*batch, length, features + embed_dim) for "concat".

    Raises:
        OptionError: unknown `how`.
        ShapeError: odd `embed_dim`, or inputs without `embed_dim` features for "add".

    >>> SinusoidalPositions(4)(torch.zeros(1, 1, 4))
    tensor([[[0., 1., 0., 1.]]])
    """

    def __init__(self, embed_dim: int, *, how: str = "add"):
        super().__init__(embed_dim, how=how)
        sinusoidal(0, embed_dim)  # raises for an odd size here rather than in the first call

    def table(self, length: int, start: int, like: Tensor) -> Tensor:
        return sinusoidal(length, self.embed_dim, start=start, device=like.device, dtype=like.dtype)


class LearnedPositions(InputPositions):
    """Learned positions, initialized from N(0, 1/embed_dim) (Gehring et al. 2017, https://arxiv.org/abs/1705.03122).

    Args:
        max_length: number of positions.
        embed_dim: features of a position.
        how: "add" or "concat".

    Shapes: as `SinusoidalPositions`.

    Raises:
        OptionError: unknown `how`.
        ShapeError: inputs without `embed_dim` features for "add", or positions beyond `max_length`.

    >>> LearnedPositions(10, 4, how="concat")(torch.zeros(2, 3, 5)).shape
    torch.Size([2, 3, 9])
    """

    def __init__(self, max_length: int, embed_dim: int, *, how: str = "add"):
        super().__init__(embed_dim, how=how)
        self.max_length = max_length
        self.weight = nn.Parameter(torch.empty(max_length, embed_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the vectors."""
        nn.init.normal_(self.weight, std=self.embed_dim**-0.5)

    def table(self, length: int, start: int, like: Tensor) -> Tensor:
        if start < 0 or start + length > self.max_length:
            raise ShapeError(
                f"positions {start} to {start + length - 1} were asked for, but those learned are 0 to "
                f"{self.max_length - 1}; build with a larger max_length, shorten the sequence, or use sinusoidal "
                f"positions."
            )
        return self.weight[start : start + length].to(like.dtype)


class ALiBiPositions(BiasPositions):
    r"""ALiBi: a penalty linear in the distance, with a fixed slope per head (Press et al. 2022, https://arxiv.org/abs/2108.12409).

    .. math:: b_{hij} = -m_h\,|i - j|

    >>> ALiBiPositions(num_heads=2)().slopes
    tensor([0.0625, 0.0039])
    """

    slopes: Tensor

    def __init__(self, num_heads: int):
        super().__init__()
        self.register_buffer("slopes", ALiBi.for_heads(num_heads).slopes, persistent=False)

    def forward(self, start: int = 0) -> ALiBi:
        return ALiBi(self.slopes, query_start=start)


class RelativePositions(BiasPositions):
    r"""A learned bias for each head and bucket of distances (Raffel et al. 2020, T5, https://arxiv.org/abs/1910.10683).

    .. math:: b_{hij} = \mathrm{table}_{h,\,\mathrm{bucket}(j - i)}

    Args:
        num_heads: number of heads.
        bidirectional: whether keys after the query have buckets of their own.
        buckets: number of buckets.
        max_distance: distances of at least this size share the last bucket.

    Raises:
        OptionError: `buckets` and `max_distance` do not fit.

    >>> RelativePositions(2, buckets=8)().table.shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        num_heads: int,
        *,
        bidirectional: bool = True,
        buckets: int = 32,
        max_distance: int = 128,
    ):
        super().__init__()
        self.bidirectional = bidirectional
        self.max_distance = max_distance
        self.table = nn.Parameter(torch.empty(num_heads, buckets))
        self.reset_parameters()
        self()  # raises here rather than in the first call

    def reset_parameters(self) -> None:
        """Initialize the table with small values: training starts almost without positions."""
        nn.init.normal_(self.table, std=0.02)

    def forward(self, start: int = 0) -> RelativeBuckets:
        return RelativeBuckets(
            self.table,
            bidirectional=self.bidirectional,
            max_distance=self.max_distance,
            query_start=start,
        )


@dataclass(frozen=True, kw_only=True)
class PositionScheme:
    """Builders of a position scheme: in the input, in the projected queries and keys, or as a bias on the scores.

    A builder is None if the scheme is not used there. Each takes `grid`, the `Grid` of a sequence that holds the cells
    of an image, or None for positions along the sequence.

    >>> POSITIONS["alibi"].bias(num_heads=2, bidirectional=True, grid=None)
    ALiBiPositions()
    """

    inputs: Callable[..., InputPositions] | None = None
    """Called as `inputs(embed_dim=, max_length=, how=, grid=)`."""
    rotary: Callable[..., Rotary] | None = None
    """Called as `rotary(features, grid=)`, with the features of a projected query or key."""
    bias: Callable[..., BiasPositions] | None = None
    """Called as `bias(num_heads=, bidirectional=, grid=)`."""


def _sinusoidal(embed_dim: int, max_length: int, how: str, grid: Grid | None) -> InputPositions:
    if grid is None:
        return SinusoidalPositions(embed_dim, how=how)
    return GridSinusoidalPositions(grid, embed_dim, how=how)


def _learned(embed_dim: int, max_length: int, how: str, grid: Grid | None) -> InputPositions:
    return LearnedPositions(max_length if grid is None else grid.length, embed_dim, how=how)


def _rotary(features: int, grid: Grid | None) -> Rotary:
    return Rotary(features) if grid is None else GridRotary(features, grid=grid)


def _alibi(num_heads: int, bidirectional: bool, grid: Grid | None) -> BiasPositions:
    return ALiBiPositions(num_heads) if grid is None else GridALiBiPositions(grid, num_heads)


def _relative(num_heads: int, bidirectional: bool, grid: Grid | None) -> BiasPositions:
    if grid is None:
        return RelativePositions(num_heads, bidirectional=bidirectional)
    return GridRelativePositions(grid, num_heads)


POSITIONS: dict[str, PositionScheme] = {
    "sinusoidal": PositionScheme(inputs=_sinusoidal),
    "learned": PositionScheme(inputs=_learned),
    "rotary": PositionScheme(rotary=_rotary),
    "alibi": PositionScheme(bias=_alibi),
    "relative": PositionScheme(bias=_relative),
    "none": PositionScheme(),
}
"""Position schemes by name."""


def _scheme(name: str) -> PositionScheme:
    if name not in POSITIONS:
        raise unknown_choice("positions", name, POSITIONS)
    return POSITIONS[name]


def build_input_positions(
    name: str, embed_dim: int, *, max_length: int, how: str = "add", grid: Grid | None = None
) -> InputPositions | None:
    """Build the module that adds or concatenates positions to the input; None if `name` does not do so.

    Args:
        name: a name from `POSITIONS`.
        embed_dim: features of a position.
        max_length: number of learned positions, without a grid; the other schemes ignore it.
        how: "add" or "concat".
        grid: of a sequence that holds the cells of an image.

    Raises:
        OptionError: unknown `name` or `how`.
        ShapeError: odd `embed_dim` for sinusoidal positions.

    >>> build_input_positions("sinusoidal", 4, max_length=10)
    SinusoidalPositions()
    >>> build_input_positions("rotary", 4, max_length=10) is None
    True
    """
    build = _scheme(name).inputs
    if build is None:
        return None
    return build(embed_dim=embed_dim, max_length=max_length, how=how, grid=grid)


def build_rotary(
    name: str, head_dim: int, *, score: str = "scaled_dot", grid: Grid | None = None
) -> Rotary | None:
    """Build the rotary embedding of queries and keys; None if `name` is not a rotary scheme.

    Args:
        name: a name from `POSITIONS`.
        head_dim: features of a head.
        score: a name from `SCORE_MODULES`. What the score multiplies is rotated: the features of a head or, for
            "low_rank", their projection.
        grid: of a sequence that holds the cells of an image.

    Raises:
        OptionError: unknown `name` or `score`.
        ShapeError: an odd number of features to rotate.

    >>> build_rotary("rotary", 8)
    Rotary(features=8, base=10000.0, layout='interleaved')
    """
    build = _scheme(name).rotary
    if build is None:
        return None
    return build(build_score(score, head_dim, head_dim).projected_dim, grid=grid)


def build_bias(
    name: str, num_heads: int, *, bidirectional: bool, grid: Grid | None = None
) -> BiasPositions | None:
    """Build the module that adds positions to the scores as a bias; None if `name` does not do so.

    Args:
        name: a name from `POSITIONS`.
        num_heads: number of heads.
        bidirectional: whether queries attend to later keys; a grid has no direction.
        grid: of a sequence that holds the cells of an image.

    Raises:
        OptionError: unknown `name`.

    >>> build_bias("alibi", 4, bidirectional=True)
    ALiBiPositions()
    """
    build = _scheme(name).bias
    if build is None:
        return None
    return build(num_heads=num_heads, bidirectional=bidirectional, grid=grid)
