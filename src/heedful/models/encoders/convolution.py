"""Residual convolutions over positions, or over the rows and columns of images; alone, and below self-attention."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.config import check_divides
from heedful.models.encoders.base import Context, Encoder, EncoderConfig
from heedful.models.fields import Score
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.nn.multi_head import MultiHeadAttention
from heedful.ops import masks
from heedful.ops.grid import Grid


class ConvolutionConfig(EncoderConfig):
    """Residual convolutions over positions; of images over rows and columns."""

    kind: Literal["convolution"] = Field("convolution", description="The encoder.")
    size: int = Field(
        1,
        ge=0,
        description="Positions of the kernel on each side; n layers reach n times as far.",
    )
    hidden: int = Field(256, ge=1, description="Channels, the features of a state.")
    layers: int = Field(3, ge=1, description="Convolution layers.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout probability of hidden layers.")


class ConvolutionAttentionConfig(EncoderConfig):
    """Residual convolutions followed by self-attention."""

    kind: Literal["convolution+attention"] = Field(
        "convolution+attention", description="The encoder."
    )
    size: int = Field(1, ge=0, description="Positions of the kernel on each side.")
    hidden: int = Field(256, ge=1, description="Channels, the features of a state.")
    layers: int = Field(2, ge=1, description="Convolution layers.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide the channels.")
    score: Score = Field("scaled_dot", description="Score function of the attention.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout probability of hidden layers.")


class ConvolutionEncoder(Encoder):
    r"""Layers :math:`x' = x + \mathrm{relu}(\mathrm{conv}(\mathrm{norm}(x)))` (after Collobert et al. 2011).

    The input of every layer is zero at padding, so outputs do not depend on it. With a grid the kernel covers
    (2 size + 1)² cells of a frame.

    Raises: OptionError for a class token, which is no cell.

    >>> encoder = ConvolutionEncoder(ConvolutionConfig(hidden=4, layers=2), 3)
    >>> encoder(torch.ones(2, 5, 3), torch.tensor([5, 2])).values.shape
    torch.Size([2, 5, 4])
    """

    configuration = ConvolutionConfig
    reads_grid = True

    def __init__(self, config: ConvolutionConfig, input_width: int, grid: Grid | None = None):
        super().__init__(input_width, config.hidden)
        if grid is not None and grid.prefix:
            raise OptionError(
                "inputs.class_token: convolutions do not read the class token; leave it out, with pooling.kind "
                "attention or mean, or choose the encoder transformer"
            )
        self.grid = grid
        self.widen = Linear(input_width, config.hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(config.hidden) for _ in range(config.layers))
        kernel = nn.Conv1d if grid is None else nn.Conv2d
        self.layers = nn.ModuleList(
            kernel(config.hidden, config.hidden, 2 * config.size + 1, padding=config.size)
            for _ in range(config.layers)
        )
        self.dropout = Dropout(config.dropout)
        self.reach = config.size * config.layers

    @property
    def context(self) -> Context:
        return Context(self.reach, self.reach)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states: Tensor = self.widen(inputs)
        if self.grid is not None:
            return self._over_grid(states, self.grid)
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        padding = (positions >= lengths[:, None])[..., None]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            masked = self.dropout(norm(states)).masked_fill(padding, 0.0)
            states = states + F.relu(layer(masked.transpose(1, 2)).transpose(1, 2))
        return states

    def _over_grid(self, states: Tensor, grid: Grid) -> Tensor:
        cells = states.reshape(-1, grid.rows, grid.columns, self.width)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            # A view with the channels first, whose memory has them last, as convolutions on a CPU like best.
            convolved = layer(self.dropout(norm(cells)).permute(0, 3, 1, 2))
            cells = cells + F.relu(convolved.permute(0, 2, 3, 1))
        return cells.reshape(states.shape)


class ConvolutionAttention(Encoder):
    """Self-attention over the states of convolutions: norm(h + attention(h)).

    >>> config = ConvolutionAttentionConfig(hidden=4, layers=1, heads=2)
    >>> encoder = ConvolutionAttention(config, 3, grid=Grid(rows=2, columns=3))
    >>> encoder(torch.ones(2, 6, 3), torch.tensor([6, 6])).values.shape
    torch.Size([2, 6, 4])
    """

    has_attention = True
    reads_grid = True
    configuration = ConvolutionAttentionConfig

    def __init__(
        self, config: ConvolutionAttentionConfig, input_width: int, grid: Grid | None = None
    ):
        check_divides("encoder.heads", config.heads, "encoder.hidden", config.hidden)
        super().__init__(input_width, config.hidden)
        self.grid = grid
        convolutions = ConvolutionConfig(
            size=config.size, hidden=config.hidden, layers=config.layers, dropout=config.dropout
        )
        self.convolutions = ConvolutionEncoder(convolutions, input_width, grid)
        self.attention = MultiHeadAttention(
            self.width, config.heads, score=config.score, kind="encoder"
        )
        self.norm = nn.LayerNorm(self.width)
        self.dropout = Dropout(config.dropout)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states = self.convolutions(inputs, lengths).values
        mask = None if self.grid is not None else masks.Padding(lengths)
        attended = self.attention(self.dropout(states), mask=mask).output
        output: Tensor = self.norm(states + self.dropout(attended))
        return output
