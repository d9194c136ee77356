"""Encoder models that write text: CTC, an attention decoder, or both over the states of one encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.models.base import TextDecoder
from heedful.models.config import Section
from heedful.models.encoders import Encoder, States
from heedful.models.heads import PositionHead
from heedful.models.model import Batch, Model
from heedful.models.recurrent_text import RecurrentDecoderConfig, RecurrentTextDecoder
from heedful.models.transformer_config import TransformerDecoderConfig
from heedful.models.transformer_text import TransformerTextDecoder


class NoDecoderConfig(Section):
    """No decoder: CTC alone."""

    kind: Literal["none"] = Field("none", description="The decoder.")


TEXT_DECODERS: Final[dict[str, Callable[[Any, int, int], TextDecoder[Any]]]] = {
    "gru": RecurrentTextDecoder,
    "lstm": RecurrentTextDecoder,
    "rnn": RecurrentTextDecoder,
    "transformer": TransformerTextDecoder,
}
"""Kind of a configuration -> builder, `TEXT_DECODERS[config.kind](config, vocabulary_size, memory_width)`."""

TextDecoderSection = Annotated[
    RecurrentDecoderConfig | TransformerDecoderConfig | NoDecoderConfig,
    Field(discriminator="kind", description="The decoder and its sizes."),
]
"""Type of the configuration field that selects a decoder."""


class Transcriber(Model):
    """Input embedding and encoder with a CTC head, a decoder of text, or both.

    Args:
        inputs: maps a batch to features (batch, length, width).
        encoder: maps features and lengths to `States`.
        ctc: the scores of all symbols at each position; None: no CTC.
        decoder: decodes from the states; None: CTC alone.

    >>> from heedful.models.encoders.local import NoContextConfig, NoContextEncoder
    >>> class Frames(nn.Module):
    ...     def forward(self, batch):
    ...         return batch.values
    >>> encoder = NoContextEncoder(NoContextConfig(hidden=8), 4)
    >>> decoder = RecurrentTextDecoder(RecurrentDecoderConfig(embedding=8, hidden=8), 20, encoder.width)
    >>> model = Transcriber(Frames(), encoder, PositionHead(encoder.width, 20), decoder).eval()
    >>> memory = model.memory(encoder(torch.ones(1, 5, 4), torch.tensor([5])))
    >>> model.ctc_log_probabilities(memory).shape, decoder.decode(memory, torch.tensor([[2, 7]])).states.shape
    (torch.Size([1, 5, 20]), torch.Size([1, 2, 8]))
    """

    def __init__(
        self,
        inputs: nn.Module,
        encoder: Encoder,
        ctc: PositionHead | None,
        decoder: TextDecoder[Any] | None,
    ):
        super().__init__(inputs, encoder, nn.Identity() if ctc is None else ctc)
        self.has_ctc = ctc is not None
        self.decoder = decoder

    def memory(self, states: States) -> States:
        """Return the states with the mean of each sequence as every part of their summary, for the decoder.

        A recurrent decoder starts from it, whatever the encoder (Sennrich et al. 2017, "Nematus", section 2).
        """
        values, lengths = states.values, states.lengths
        # What is at padding is 0.
        mean = values.sum(dim=1) / lengths[:, None].to(values.dtype)
        parts = 0 if self.decoder is None else self.decoder.summary_parts
        return States(values, lengths, (mean[None],) * parts)

    def ctc_log_probabilities(self, states: States) -> Tensor:
        """Return the log-probabilities of all symbols at each position: (batch, length, symbols)."""
        return torch.log_softmax(self.head(states).scores.float(), dim=-1)

    def forward(self, batch: Batch) -> Tensor:
        """Return the log-probabilities of CTC of a batch."""
        return self.ctc_log_probabilities(self.states(batch))
