"""Parallel convolutions of several widths: features of the n-grams around each token."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.encoders.base import Context, Encoder, EncoderConfig
from heedful.nn.dropout import Dropout


class NGramsConfig(EncoderConfig):
    """Parallel convolutions of several widths (Kim 2014)."""

    kind: Literal["ngrams"] = Field("ngrams", description="The encoder.")
    widths: tuple[int, ...] = Field((3, 4, 5), description="Kernel widths in tokens.")
    hidden: int = Field(
        300, ge=1, description="Features of a state, divided evenly among the widths."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability of states.")


class NGramsEncoder(Encoder):
    r"""Filters over n-grams of several widths w, :math:`[\mathrm{relu}(\mathrm{conv}_w(x))]_w` (Kim 2014, https://aclanthology.org/D14-1181).

    Kernels are centred on their token; those of even width reach one token further to the right. Sequences are
    zero-padded. With `pooling.kind = max` this is the network of the paper.

    Raises: OptionError for no widths, duplicate widths, a width below 1, or fewer features than widths.

    >>> encoder = NGramsEncoder(NGramsConfig(widths=(1, 2), hidden=5), 3)
    >>> encoder(torch.ones(2, 4, 3), torch.tensor([4, 2])).values.shape
    torch.Size([2, 4, 5])
    """

    configuration = NGramsConfig

    def __init__(self, config: NGramsConfig, input_width: int):
        widths = config.widths
        if not widths or min(widths) < 1 or len(set(widths)) < len(widths):
            raise OptionError(
                f"encoder.widths is {list(widths)}; expected at least one width, all different and at least 1"
            )
        if config.hidden < len(widths):
            raise OptionError(
                f"encoder.hidden is {config.hidden}; expected at least one feature for each of the {len(widths)} widths"
            )
        super().__init__(input_width, config.hidden)
        channels, remainder = divmod(config.hidden, len(widths))
        self.widths = widths
        self.filters = nn.ModuleList(
            nn.Conv1d(input_width, channels + (number < remainder), width)
            for number, width in enumerate(widths)
        )
        self.dropout = Dropout(config.dropout)

    @property
    def context(self) -> Context:
        return Context((max(self.widths) - 1) // 2, max(self.widths) // 2)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        channels_first = inputs.transpose(1, 2)
        features = [
            filters(F.pad(channels_first, ((width - 1) // 2, width // 2)))
            for width, filters in zip(self.widths, self.filters, strict=True)
        ]
        states: Tensor = self.dropout(F.relu(torch.cat(features, dim=1)).transpose(1, 2))
        return states
