"""The one contract of every encoder: embedded tokens and their lengths in, states out."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError
from heedful.models.config import Section
from heedful.nn.recurrent import States

__all__ = ["Encoder", "EncoderConfig", "States", "real_tokens"]


class EncoderConfig(Section):
    """Base class of encoder configurations. A subclass narrows `kind` to a Literal of the encoder's names."""

    kind: str


class Encoder(nn.Module, abc.ABC):
    """Turns embedded tokens into states that know of as much context as the encoder lets them.

    `encoder(inputs, lengths)` takes inputs (batch, length, input_width), padded on the right, with lengths
    (batch,) of 1 or more, and returns `States`: values (batch, length, width), zero at padding; the
    lengths; and a summary of each sequence, a tuple whose first entry is (layers, batch, width): the final
    states of recurrent layers, and for all others the mean of the values as one layer.

    What the inputs hold at padding never matters.

    >>> from heedful.models.encoders import ENCODERS, ENCODER_CONFIGS
    >>> encoder = ENCODERS["window"](ENCODER_CONFIGS["window"](size=1, hidden=6), 4)
    >>> values, lengths, summary = encoder(torch.ones(2, 3, 4), torch.tensor([3, 1]))
    >>> values.shape, summary[0].shape, bool(values[1, 1:].any())
    (torch.Size([2, 3, 6]), torch.Size([1, 2, 6]), False)
    """

    configuration: ClassVar[type[EncoderConfig]]
    """Class of the first argument of the constructor; its `kind` holds the encoder's names."""
    input_width: int
    width: int
    """Features of a state."""
    attends: bool = False
    """Whether there are attention weights to look at."""
    summary_is_last_state: bool = False
    """Whether the summary holds the final states of recurrent layers, rather than the mean of the values."""

    def __init__(self, input_width: int, width: int):
        super().__init__()
        self.input_width, self.width = input_width, width

    def forward(self, inputs: Tensor, lengths: Tensor) -> States:
        """Encode inputs (batch, length, input_width) of the given lengths (batch,)."""
        if inputs.ndim != 3 or inputs.shape[2] != self.input_width:
            raise ShapeError(
                f"inputs have shape {tuple(inputs.shape)}; wanted (batch, length, {self.input_width})."
            )
        if lengths.shape != inputs.shape[:1]:
            raise ShapeError(
                f"lengths have shape {tuple(lengths.shape)}; wanted ({inputs.shape[0]},), one a sequence."
            )
        real = real_tokens(inputs.shape[1], lengths)
        # not a product: what stands at padding may be NaN
        clean = inputs.masked_fill(~real, 0.0)
        values = self.encode(clean, lengths).masked_fill(~real, 0.0)
        return States(values, lengths, self.summarize(values, lengths))

    @abc.abstractmethod
    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return (batch, length, width) of inputs that are zero at padding; padding may hold anything."""

    def summarize(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the mean over each sequence, as one layer."""
        mean = values.sum(dim=1) / lengths[:, None].to(values.dtype)
        return (mean[None],)


def real_tokens(length: int, lengths: Tensor) -> Tensor:
    """Say which positions are no padding: (batch, length, 1).

    >>> real_tokens(3, torch.tensor([2])).flatten().tolist()
    [True, True, False]
    """
    return (torch.arange(length, device=lengths.device) < lengths[:, None])[..., None]
