"""Recurrent encoder–decoders (RNN, LSTM, GRU) without attention or with Bahdanau or Luong attention."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.base import EncoderDecoder
from heedful.models.frequency import FrequencyConfig
from heedful.models.recurrent_text import (
    RecurrentDecoderConfig,
    RecurrentState,
    RecurrentTextDecoder,
)
from heedful.nn.recurrent import RecurrentEncoder, States

__all__ = ["RecurrentConfig", "RecurrentEncoderDecoder", "RecurrentState"]


class RecurrentConfig(RecurrentDecoderConfig):
    """Recurrent encoder–decoder.

    >>> RecurrentConfig(kind="lstm", attention="bilinear", order="luong").hidden
    256
    """

    encoder_hidden: int | None = Field(
        None,
        ge=1,
        description="Features of the encoder state, per direction; unset: as hidden.",
    )
    encoder_layers: int = Field(1, ge=1, description="Recurrent encoder layers.")
    bidirectional: bool = Field(True, description="Run the encoder in both directions.")
    share_embeddings: bool = Field(
        False,
        description="Share one embedding between source and target; needs a shared vocabulary.",
    )


class RecurrentEncoderDecoder(RecurrentTextDecoder, EncoderDecoder[RecurrentState]):
    """A recurrent encoder and a recurrent decoder, with or without attention.

    The initial decoder state is h₀ = tanh(W s + b), with s the final states of all encoder layers, so that encoder
    and decoder may differ in size and number of layers; the initial cell of an LSTM is c₀ = W' s' + b', with s' the
    final cells. Fixed context: Cho et al. 2014, Sutskever et al. 2014; attention: Bahdanau et al. 2015, Luong et al.
    2015.

    Args:
        config: sizes and options.
        source_vocabulary_size: number of source token ids.
        target_vocabulary_size: number of target token ids.
        frequency: handling of frequent source tokens; None: off.

    Raises:
        OptionError: `share_embeddings` with vocabularies of different sizes.

    >>> import torch
    >>> config = RecurrentConfig(kind="gru", embedding=8, hidden=8, attention="additive")
    >>> model = RecurrentEncoderDecoder(config, 20, 30).eval()
    >>> source, target = torch.tensor([[4, 5, 6]]), torch.tensor([[2, 7]])
    >>> decoded = model(source, torch.tensor([3]), target, return_weights=True)
    >>> model.output(decoded.states).shape, decoded.weights.shape
    (torch.Size([1, 2, 30]), torch.Size([1, 1, 1, 2, 3]))
    """

    def __init__(
        self,
        config: RecurrentConfig,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        frequency: FrequencyConfig | None = None,
    ) -> None:
        EncoderDecoder.__init__(self, frequency, source_vocabulary_size)
        if config.share_embeddings and source_vocabulary_size != target_vocabulary_size:
            raise OptionError(
                f"share_embeddings needs one vocabulary; got {source_vocabulary_size} source and"
                f" {target_vocabulary_size} target tokens; share the vocabulary or set share_embeddings to false."
            )
        self.target_embedding = nn.Embedding(target_vocabulary_size, config.embedding)
        self.source_embedding = (
            self.target_embedding
            if config.share_embeddings
            else nn.Embedding(source_vocabulary_size, config.embedding)
        )
        self.encoder = RecurrentEncoder(
            config.kind,
            config.embedding,
            config.encoder_hidden or config.hidden,
            layers=config.encoder_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
        )
        width = self.encoder.width
        self._build(config, width, summary=config.encoder_layers * width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the embeddings, bridges and output layer."""
        nn.init.normal_(self.source_embedding.weight, std=0.1)
        super().reset_parameters()

    def encode(self, source: Tensor, source_lengths: Tensor) -> States:
        encoded: States = self.encoder(self.dropout(self.source_embedding(source)), source_lengths)
        return encoded
