"""Modules for positions, in the input or as a bias on the scores, and the table of position schemes."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError, unknown_choice
from heedful.nn.scores import build_score
from heedful.ops.positions import ALiBi, PositionBias, RelativeBuckets, Rotary, sinusoidal

HOW = ("add", "concat")


class InputPositions(nn.Module, abc.ABC):
    """Base class of positions in the input: `module(inputs, start)` counts positions from `start`.

    `how="add"` adds them to inputs of `embed_dim` features. `how="concat"` appends `embed_dim` features to the inputs.

    >>> positions = SinusoidalPositions(4)
    >>> whole = positions(torch.zeros(1, 6, 4))
    >>> torch.equal(positions(torch.zeros(1, 2, 4), start=4), whole[:, 4:])
    True
    """

    def __init__(self, embed_dim: int, *, how: str = "add"):
        super().__init__()
        if how not in HOW:
            raise unknown_choice("how", how, HOW)
        self.embed_dim = embed_dim
        self.how = how

    @abc.abstractmethod
    def table(self, length: int, start: int, like: Tensor) -> Tensor:
        """Positions `start` to `start + length - 1`, (length, embed_dim), with the dtype and device of `like`."""

    def forward(self, inputs: Tensor, start: int = 0) -> Tensor:
        """(*batch, length, features) -> (*batch, length, features), or features + embed_dim for "concat"."""
        if inputs.ndim < 2 or (self.how == "add" and inputs.shape[-1] != self.embed_dim):
            raise ShapeError(
                f"positions of {self.embed_dim} features cannot be added to inputs of shape {tuple(inputs.shape)}; "
                f'wanted (*batch, length, {self.embed_dim}), or how="concat".'
            )
        table = self.table(inputs.shape[-2], start, inputs)
        if self.how == "add":
            return inputs + table
        return torch.cat([inputs, table.expand(*inputs.shape[:-1], self.embed_dim)], dim=-1)


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


class BiasPositions(nn.Module, abc.ABC):
    """Base class of positions in the scores: `module(start)` is the argument `bias` of `attend`.

    >>> from heedful import attend
    >>> x = torch.randn(2, 4, 5, 8)
    >>> attend(x, x, x, bias=ALiBiPositions(num_heads=4)()).output.shape
    torch.Size([2, 4, 5, 8])
    """

    @abc.abstractmethod
    def forward(self, start: int = 0) -> PositionBias:
        """Return the bias of queries whose first one has position `start`; keys start at 0."""


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

    A builder is None if the scheme is not used there.

    >>> POSITIONS["alibi"].bias(num_heads=2, bidirectional=True)
    ALiBiPositions()
    """

    inputs: Callable[..., InputPositions] | None = None
    """Called as `inputs(embed_dim=, max_length=, how=)`."""
    rotary: Callable[[int], Rotary] | None = None
    """Called with the features of a projected query or key."""
    bias: Callable[..., BiasPositions] | None = None
    """Called as `bias(num_heads=, bidirectional=)`."""


POSITIONS: dict[str, PositionScheme] = {
    "sinusoidal": PositionScheme(
        inputs=lambda embed_dim, max_length, how: SinusoidalPositions(embed_dim, how=how)
    ),
    "learned": PositionScheme(
        inputs=lambda embed_dim, max_length, how: LearnedPositions(max_length, embed_dim, how=how)
    ),
    "rotary": PositionScheme(rotary=Rotary),
    "alibi": PositionScheme(bias=lambda num_heads, bidirectional: ALiBiPositions(num_heads)),
    "relative": PositionScheme(bias=RelativePositions),
    "none": PositionScheme(),
}
"""Position schemes by name."""


def _scheme(name: str) -> PositionScheme:
    if name not in POSITIONS:
        raise unknown_choice("positions", name, POSITIONS)
    return POSITIONS[name]


def build_input_positions(
    name: str, embed_dim: int, *, max_length: int, how: str = "add"
) -> InputPositions | None:
    """Build the module that adds or concatenates positions to the input; None if `name` does not do so.

    Args:
        name: a name from `POSITIONS`.
        embed_dim: features of a position.
        max_length: number of learned positions; the other schemes ignore it.
        how: "add" or "concat".

    Raises:
        OptionError: unknown `name` or `how`.
        ShapeError: odd `embed_dim` for sinusoidal positions.

    >>> build_input_positions("sinusoidal", 4, max_length=10)
    SinusoidalPositions()
    >>> build_input_positions("rotary", 4, max_length=10) is None
    True
    """
    build = _scheme(name).inputs
    return None if build is None else build(embed_dim=embed_dim, max_length=max_length, how=how)


def build_rotary(name: str, head_dim: int, *, score: str = "scaled_dot") -> Rotary | None:
    """Build the rotary embedding of queries and keys; None if `name` is not a rotary scheme.

    Args:
        name: a name from `POSITIONS`.
        head_dim: features of a head.
        score: a name from `SCORE_MODULES`. What the score multiplies is rotated: the features of a head or, for
            "low_rank", their projection.

    Raises:
        OptionError: unknown `name` or `score`.
        ShapeError: an odd number of features to rotate.

    >>> build_rotary("rotary", 8)
    Rotary(features=8, base=10000.0, layout='interleaved')
    """
    build = _scheme(name).rotary
    return None if build is None else build(build_score(score, head_dim, head_dim).projected_dim)


def build_bias(name: str, num_heads: int, *, bidirectional: bool) -> BiasPositions | None:
    """Build the module that adds positions to the scores as a bias; None if `name` does not do so.

    Args:
        name: a name from `POSITIONS`.
        num_heads: number of heads.
        bidirectional: whether queries attend to later keys.

    Raises:
        OptionError: unknown `name`.

    >>> build_bias("alibi", 4, bidirectional=True)
    ALiBiPositions()
    """
    build = _scheme(name).bias
    return None if build is None else build(num_heads=num_heads, bidirectional=bidirectional)
