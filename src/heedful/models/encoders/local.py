"""Feed-forward encoders of one token or a window of tokens."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.models.encoders.base import Context, Encoder, EncoderConfig
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear


class NoContextConfig(EncoderConfig):
    """A feed-forward network on each token, without context."""

    kind: Literal["none"] = Field("none", description="The encoder.")
    hidden: int = Field(256, ge=1, description="Features of hidden layers and states.")
    layers: int = Field(
        2,
        ge=0,
        description="Layers of the feed-forward network; 0: the states are the embeddings, whatever hidden is.",
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout probability of hidden layers.")


class WindowConfig(EncoderConfig):
    """A feed-forward network on a window around each token (Bengio et al. 2003)."""

    kind: Literal["window"] = Field("window", description="The encoder.")
    size: int = Field(2, ge=0, description="Positions of the window on each side of the token.")
    hidden: int = Field(256, ge=1, description="Features of hidden layers and states.")
    layers: int = Field(2, ge=1, description="Layers of the feed-forward network.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout probability of hidden layers.")


class WindowEncoder(Encoder):
    r"""A feed-forward network over :math:`[x_{t-k}; \dots; x_{t+k}]`, zero-padded at both ends.

    >>> encoder = WindowEncoder(WindowConfig(hidden=4, size=1), 3)
    >>> encoder(torch.ones(2, 5, 3), torch.tensor([5, 2])).values.shape
    torch.Size([2, 5, 4])
    """

    configuration: ClassVar[type[EncoderConfig]] = WindowConfig

    def __init__(self, config: WindowConfig, input_width: int):
        super().__init__(input_width, config.hidden)
        self.size = config.size
        widths = [input_width * (2 * self.size + 1), *[config.hidden] * config.layers]
        self.layers = nn.ModuleList(Linear(before, after) for before, after in pairwise(widths))
        for name, parameter in self.layers.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_uniform_(parameter, nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)
        self.dropout = Dropout(config.dropout)

    @property
    def context(self) -> Context:
        return Context(self.size, self.size)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states = inputs
        if self.size:
            padded = F.pad(inputs, (0, 0, self.size, self.size))
            length = inputs.shape[1]
            states = torch.cat(
                [padded[:, shift : shift + length] for shift in range(2 * self.size + 1)], dim=-1
            )
        for number, layer in enumerate(self.layers):
            states = F.relu(layer(self.dropout(states) if number else states))
        return states


class NoContextEncoder(WindowEncoder):
    """A feed-forward network over each token alone: a window of size 0; without layers the token as it is.

    >>> encoder = NoContextEncoder(NoContextConfig(hidden=4), 3).eval()
    >>> values = encoder(torch.tensor([[[1.0, 2, 3], [7, 7, 7], [1, 2, 3]]]), torch.tensor([3])).values
    >>> torch.equal(values[0, 0], values[0, 2])
    True
    """

    configuration = NoContextConfig

    def __init__(self, config: NoContextConfig, input_width: int):
        # As a copy, since a window has at least one layer.
        window = WindowConfig(hidden=config.hidden, dropout=config.dropout).model_copy(
            update={
                "size": 0,
                "layers": config.layers,
                "hidden": config.hidden if config.layers else input_width,
            }
        )
        super().__init__(window, input_width)
