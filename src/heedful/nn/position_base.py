"""Base classes of the modules for positions: in the input, and as a bias on the scores."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError, unknown_choice
from heedful.ops.positions import PositionBias

HOW = ("add", "concat")


class InputPositions(nn.Module, abc.ABC):
    """Base class of positions in the input: `module(inputs, start)` counts positions from `start`.

    `how="add"` adds them to inputs of `embed_dim` features. `how="concat"` appends `embed_dim` features to the inputs.

    >>> from heedful.nn import SinusoidalPositions
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


class BiasPositions(nn.Module, abc.ABC):
    """Base class of positions in the scores: `module(start)` is the argument `bias` of `attend`.

    >>> from heedful import attend
    >>> from heedful.nn import ALiBiPositions
    >>> x = torch.randn(2, 4, 5, 8)
    >>> attend(x, x, x, bias=ALiBiPositions(num_heads=4)()).output.shape
    torch.Size([2, 4, 5, 8])
    """

    @abc.abstractmethod
    def forward(self, start: int = 0) -> PositionBias:
        """Return the bias of queries whose first one has position `start`; keys start at 0."""
