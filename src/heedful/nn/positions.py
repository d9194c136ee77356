"""Modules that give a sequence its positions: in the input, or as a bias on the scores."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError, unknown_choice
from heedful.ops.positions import ALiBi, PositionBias, RelativeBuckets, sinusoidal

HOW = ("add", "concat")


class InputPositions(nn.Module, abc.ABC):
    """Positions given with the input: `module(inputs, start)` counts positions from `start`.

    `how="add"` adds them to the inputs, whose features must then be `width`; `how="concat"` appends `width`
    features to the inputs.

    >>> positions = SinusoidalPositions(4)
    >>> whole = positions(torch.zeros(1, 6, 4))
    >>> torch.equal(positions(torch.zeros(1, 2, 4), start=4), whole[:, 4:])
    True
    """

    def __init__(self, width: int, *, how: str = "add"):
        super().__init__()
        if how not in HOW:
            raise unknown_choice("how", how, HOW)
        self.width = width
        self.how = how

    @abc.abstractmethod
    def table(self, length: int, start: int, like: Tensor) -> Tensor:
        """The positions `start` to `start + length`, (length, width), in the dtype and on the device of `like`."""

    def forward(self, inputs: Tensor, start: int = 0) -> Tensor:
        """(*batch, length, features) -> (*batch, length, features [+ width])."""
        if inputs.ndim < 2 or (self.how == "add" and inputs.shape[-1] != self.width):
            raise ShapeError(
                f"positions of width {self.width} cannot be added to inputs of shape {tuple(inputs.shape)}; "
                f'wanted (*batch, length, {self.width}), or how="concat".'
            )
        table = self.table(inputs.shape[-2], start, inputs)
        if self.how == "add":
            return inputs + table
        return torch.cat([inputs, table.expand(*inputs.shape[:-1], self.width)], dim=-1)


class SinusoidalPositions(InputPositions):
    r"""Sines and cosines of the position (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math:: p_{t,2i} = \sin(t / 10000^{2i/d}), \quad p_{t,2i+1} = \cos(t / 10000^{2i/d})

    Args:
        width: features of a position.
        how: "add" or "concat".

    Shapes: (*batch, length, width) -> the same for "add"; (*batch, length, features) ->
    (*batch, length, features + width) for "concat".

    Raises:
        OptionError: for another `how`.
        ShapeError: for an odd `width`, or inputs of another width when adding.

    >>> SinusoidalPositions(4)(torch.zeros(1, 1, 4))
    tensor([[[0., 1., 0., 1.]]])
    """

    def __init__(self, width: int, *, how: str = "add"):
        super().__init__(width, how=how)
        sinusoidal(0, width)  # an odd width is refused now, not in the first call

    def table(self, length: int, start: int, like: Tensor) -> Tensor:
        return sinusoidal(length, self.width, start=start, device=like.device, dtype=like.dtype)


class LearnedPositions(InputPositions):
    """A learned vector for each position, drawn from N(0, 1/width).

    Gehring et al. 2017, https://arxiv.org/abs/1705.03122.

    Args:
        max_length: how many positions there are.
        width: features of a position.
        how: "add" or "concat".

    Shapes: as `SinusoidalPositions`.

    Raises:
        OptionError: for another `how`.
        ShapeError: for inputs of another width when adding, or beyond `max_length`.

    >>> LearnedPositions(10, 4, how="concat")(torch.zeros(2, 3, 5)).shape
    torch.Size([2, 3, 9])
    """

    def __init__(self, max_length: int, width: int, *, how: str = "add"):
        super().__init__(width, how=how)
        self.max_length = max_length
        self.weight = nn.Parameter(torch.empty(max_length, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        nn.init.normal_(self.weight, std=self.width**-0.5)

    def table(self, length: int, start: int, like: Tensor) -> Tensor:
        if start < 0 or start + length > self.max_length:
            raise ShapeError(
                f"positions {start} to {start + length - 1} were asked for, but those learned are 0 to "
                f"{self.max_length - 1}; build with a larger max_length, shorten the sequence, or use sinusoidal "
                f"positions."
            )
        return self.weight[start : start + length].to(like.dtype)


class BiasPositions(nn.Module, abc.ABC):
    """Positions given as a bias on the scores: `module(start)` is the value that `attend` takes as `bias`.

    >>> from heedful import attend
    >>> x = torch.randn(2, 4, 5, 8)
    >>> attend(x, x, x, bias=ALiBiPositions(heads=4)()).output.shape
    torch.Size([2, 4, 5, 8])
    """

    @abc.abstractmethod
    def forward(self, start: int = 0) -> PositionBias:
        """Return the bias for queries that begin at position `start` among the keys."""


class ALiBiPositions(BiasPositions):
    r"""A penalty that grows with distance, steeper in some heads (Press et al. 2022, https://arxiv.org/abs/2108.12409).

    .. math:: b_{hij} = -m_h\,|i - j|

    >>> ALiBiPositions(heads=2)().slopes
    tensor([0.0625, 0.0039])
    """

    slopes: Tensor

    def __init__(self, heads: int):
        super().__init__()
        self.register_buffer("slopes", ALiBi.for_heads(heads).slopes, persistent=False)

    def forward(self, start: int = 0) -> ALiBi:
        return ALiBi(self.slopes, query_start=start)


class RelativePositions(BiasPositions):
    r"""A learned number for each head and bucket of distances (Raffel et al. 2020, T5, https://arxiv.org/abs/1910.10683).

    .. math:: b_{hij} = \mathrm{table}_{h,\,\mathrm{bucket}(j - i)}

    Args:
        heads: how many heads.
        bidirectional: whether keys after the query have buckets of their own.
        buckets: how many buckets.
        max_distance: distances from here on share the last bucket.

    >>> RelativePositions(2, buckets=8)().table.shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        heads: int,
        *,
        bidirectional: bool = True,
        buckets: int = 32,
        max_distance: int = 128,
    ):
        super().__init__()
        self.bidirectional = bidirectional
        self.max_distance = max_distance
        self.table = nn.Parameter(torch.empty(heads, buckets))
        self.reset_parameters()
        self()  # sizes that do not fit are refused now, not in the first call

    def reset_parameters(self) -> None:
        """Draw the table anew: small, so that training starts close to no positions."""
        nn.init.normal_(self.table, std=0.02)

    def forward(self, start: int = 0) -> RelativeBuckets:
        return RelativeBuckets(
            self.table,
            bidirectional=self.bidirectional,
            max_distance=self.max_distance,
            query_start=start,
        )


POSITIONS = ("sinusoidal", "learned", "rotary", "alibi", "relative", "none")
"""Every way to give positions, by its name in configurations."""


def build_bias(name: str, heads: int, *, bidirectional: bool) -> BiasPositions | None:
    """Build the module that gives positions as a bias; None for the ways that use none.

    Raises:
        OptionError: for an unknown name.

    >>> build_bias("alibi", 4, bidirectional=True)
    ALiBiPositions()
    """
    if name not in POSITIONS:
        raise unknown_choice("positions", name, POSITIONS)
    if name == "alibi":
        return ALiBiPositions(heads)
    if name == "relative":
        return RelativePositions(heads, bidirectional=bidirectional)
    return None
