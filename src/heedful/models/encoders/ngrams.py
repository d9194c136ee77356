"""Convolutions of several widths side by side: each state knows the n-grams around its token."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.encoders.base import Encoder, EncoderConfig
from heedful.nn.dropout import Dropout


class NGramsConfig(EncoderConfig):
    """Convolutions of several widths side by side (Kim 2014)."""

    kind: Literal["ngrams"] = Field("ngrams", description="Which encoder this configures.")
    widths: tuple[int, ...] = Field(
        (3, 4, 5), description="How many tokens each kind of filter sees at once."
    )
    hidden: int = Field(
        300, ge=1, description="Features of a state, which the widths share out evenly."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a feature.")


class NGramsEncoder(Encoder):
    r"""Filters over n-grams of several widths w, :math:`[\mathrm{relu}(\mathrm{conv}_w(x))]_w` (Kim 2014, https://aclanthology.org/D14-1181).

    The n-gram of an odd width stands around its token, that of an even width reaches one further to the right.
    Beyond the ends of a sequence stand zeros. With `pooling.kind = max` this is the paper's network.

    Raises: OptionError for a width below 1, for none, for one that is there twice, or for fewer features than widths.

    >>> encoder = NGramsEncoder(NGramsConfig(widths=(1, 2), hidden=5), 3)
    >>> encoder(torch.ones(2, 4, 3), torch.tensor([4, 2])).values.shape
    torch.Size([2, 4, 5])
    """

    configuration = NGramsConfig

    def __init__(self, config: NGramsConfig, input_width: int):
        widths = config.widths
        if not widths or min(widths) < 1 or len(set(widths)) < len(widths):
            raise OptionError(
                f"encoder.widths is {list(widths)}; one or several different widths of 1 or more are wanted"
            )
        if config.hidden < len(widths):
            raise OptionError(
                f"encoder.hidden is {config.hidden}, fewer features than the {len(widths)} widths want"
            )
        super().__init__(input_width, config.hidden)
        least, more = divmod(config.hidden, len(widths))
        self.widths = widths
        self.filters = nn.ModuleList(
            nn.Conv1d(input_width, least + (number < more), width)
            for number, width in enumerate(widths)
        )
        self.dropout = Dropout(config.dropout)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        turned = inputs.transpose(1, 2)
        found = [
            filters(F.pad(turned, ((width - 1) // 2, width // 2)))
            for width, filters in zip(self.widths, self.filters, strict=True)
        ]
        states: Tensor = self.dropout(F.relu(torch.cat(found, dim=1)).transpose(1, 2))
        return states
