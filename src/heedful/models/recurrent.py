"""Recurrent encoder–decoders (RNN, LSTM, GRU) without attention or with Bahdanau or Luong attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.bahdanau import BahdanauDecoder
from heedful.models.base import Decoded, EncoderDecoder
from heedful.models.config import Section
from heedful.models.fields import Normalizer, ScoreOrNone
from heedful.models.frequency import FrequencyConfig
from heedful.models.recurrent_decoders import (
    DecoderSizes,
    FixedContextDecoder,
    LuongDecoder,
    Memory,
    RecurrentDecoder,
)
from heedful.nn.attention import Attention
from heedful.nn.dropout import Dropout
from heedful.nn.normalizers import build_normalizer
from heedful.nn.recurrent import Hidden, RecurrentEncoder, States
from heedful.nn.scores import SCORE_MODULES, build_score


class RecurrentConfig(Section):
    """Recurrent encoder–decoder.

    >>> RecurrentConfig(kind="lstm", attention="bilinear", order="luong").hidden
    256
    """

    kind: Literal["gru", "lstm", "rnn"] = Field("gru", description="The recurrent cell.")
    embedding: int = Field(256, ge=1, description="Features of token embeddings.")
    hidden: int = Field(256, ge=1, description="Features of the decoder state.")
    encoder_hidden: int | None = Field(
        None,
        ge=1,
        description="Features of the encoder state, per direction; unset: as hidden.",
    )
    encoder_layers: int = Field(1, ge=1, description="Recurrent encoder layers.")
    decoder_layers: int = Field(1, ge=1, description="Recurrent decoder layers.")
    bidirectional: bool = Field(True, description="Run the encoder in both directions.")
    attention: ScoreOrNone = Field(
        "additive",
        description='Attention score function; "none": the source is one fixed vector.',
    )
    order: Literal["bahdanau", "luong"] = Field(
        "bahdanau",
        description=(
            '"bahdanau": attention before the cell, with the context as input, step by step; '
            '"luong": attention after the cell, all target positions at once in training. '
            "No effect without attention."
        ),
    )
    attention_hidden: int | None = Field(
        None,
        ge=1,
        description="Hidden features of additive attention, or rank of low_rank; no effect on other scores.",
    )
    normalizer: Normalizer = Field(
        "softmax", description="Normalizer of attention scores to weights."
    )
    feed_context: bool = Field(
        True,
        description="Without attention: also feed the final encoder state to every decoder step.",
    )
    readout: Literal["tanh", "maxout"] = Field(
        "tanh", description="Layer between decoder state and output layer."
    )
    dropout: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Dropout probability of embeddings, encoder states, between layers and before the output layer.",
    )
    tie_embeddings: bool = Field(
        True, description="Share the weight of the target embedding with the output layer."
    )
    share_embeddings: bool = Field(
        False,
        description="Share one embedding between source and target; needs a shared vocabulary.",
    )


@dataclass(frozen=True, eq=False)
class RecurrentState:
    """The recurrent state, the memory, and the row of the initial batch that each row originates from."""

    hidden: Hidden
    memory: Memory
    origins: Tensor

    def select(self, index: Tensor) -> RecurrentState:
        """Return the state of the batch rows `index`; rows may repeat.

        The memory is copied only if a row changes its sentence; reordering beams within a sentence does not.
        """
        origins = self.origins.index_select(0, index)
        unchanged = torch.equal(origins, self.origins)
        return RecurrentState(
            tuple(part.index_select(1, index) for part in self.hidden),
            self.memory if unchanged else self.memory.select(index),
            self.origins if unchanged else origins,
        )


def _build_decoder(config: RecurrentConfig, memory: int) -> RecurrentDecoder:
    """Build the configured decoder for a memory of width `memory`."""
    sizes = DecoderSizes(
        cell=config.kind,
        embedding=config.embedding,
        memory=memory,
        hidden=config.hidden,
        layers=config.decoder_layers,
        readout=config.readout,
        dropout=config.dropout,
    )
    if config.attention == "none":
        return FixedContextDecoder(sizes, feed_context=config.feed_context)
    resize = None
    key_dim = memory
    if SCORE_MODULES[config.attention].needs_equal_dims and memory != config.hidden:
        resize = nn.Linear(memory, config.hidden, bias=False)
        nn.init.xavier_uniform_(resize.weight)
        key_dim = config.hidden
    score = build_score(
        config.attention, config.hidden, key_dim, hidden_dim=config.attention_hidden
    )
    attention = Attention(score, normalizer=build_normalizer(config.normalizer), kind="cross")
    decoder = BahdanauDecoder if config.order == "bahdanau" else LuongDecoder
    return decoder(attention, resize, sizes)


class RecurrentEncoderDecoder(EncoderDecoder[RecurrentState]):
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

    >>> config = RecurrentConfig(kind="gru", embedding=8, hidden=8, attention="additive")
    >>> model = RecurrentEncoderDecoder(config, 20, 30).eval()
    >>> source, target = torch.tensor([[4, 5, 6]]), torch.tensor([[2, 7]])
    >>> decoded = model(source, torch.tensor([3]), target, return_weights=True)
    >>> model.output(decoded.states).shape, decoded.weights.shape
    (torch.Size([1, 2, 30]), torch.Size([1, 1, 1, 2, 3]))
    """

    alignment_layer = 0

    def __init__(
        self,
        config: RecurrentConfig,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        frequency: FrequencyConfig | None = None,
    ) -> None:
        super().__init__(frequency, source_vocabulary_size)
        if config.share_embeddings and source_vocabulary_size != target_vocabulary_size:
            raise OptionError(
                f"share_embeddings needs one vocabulary; got {source_vocabulary_size} source and"
                f" {target_vocabulary_size} target tokens; share the vocabulary or set share_embeddings to false."
            )
        self.config = config
        self.has_attention = config.attention != "none"
        self.target_embedding = nn.Embedding(target_vocabulary_size, config.embedding)
        self.source_embedding = (
            self.target_embedding
            if config.share_embeddings
            else nn.Embedding(source_vocabulary_size, config.embedding)
        )
        self.dropout = Dropout(config.dropout)
        self.encoder = RecurrentEncoder(
            config.kind,
            config.embedding,
            config.encoder_hidden or config.hidden,
            layers=config.encoder_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
        )
        summary = config.encoder_layers * self.encoder.width
        parts = 2 if config.kind == "lstm" else 1
        self.bridges = nn.ModuleList(
            nn.Linear(summary, config.decoder_layers * config.hidden) for _ in range(parts)
        )
        self.decoder = _build_decoder(config, self.encoder.width)
        self.output_bias = nn.Parameter(torch.zeros(target_vocabulary_size))
        self.output_weight = (
            None
            if config.tie_embeddings
            else nn.Parameter(torch.empty(target_vocabulary_size, config.embedding))
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the embeddings, bridges and output layer."""
        # Small, so that the initial output distribution is nearly uniform with tied embeddings.
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=0.1)
        if self.output_weight is not None:
            nn.init.normal_(self.output_weight, std=0.1)
        for bridge in self.bridges:
            assert isinstance(bridge, nn.Linear)
            nn.init.xavier_uniform_(bridge.weight)
            nn.init.zeros_(bridge.bias)

    def encode(self, source: Tensor, source_lengths: Tensor) -> States:
        encoded: States = self.encoder(self.dropout(self.source_embedding(source)), source_lengths)
        return encoded

    def decode(
        self,
        memory: States,
        target: Tensor,
        *,
        key_bias: Tensor | None = None,
        return_weights: bool = False,
    ) -> Decoded:
        state = self.begin(memory, key_bias=key_bias)
        embedded = self.dropout(self.target_embedding(target))
        output = self.decoder(embedded, state.hidden, state.memory, return_weights=return_weights)
        return Decoded(output.states, output.weights)

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """Return weight (target vocabulary, embedding) and bias of the output layer."""
        weight: Tensor | None = self.output_weight
        if weight is None:
            weight = self.target_embedding.weight
        return weight, self.output_bias

    def begin(self, memory: States, *, key_bias: Tensor | None = None) -> RecurrentState:
        origins = torch.arange(memory.values.shape[0], device=memory.values.device)
        prepared = self.decoder.prepare(memory, key_bias)
        return RecurrentState(self._initial_hidden(memory), prepared, origins)

    def step(self, token: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Read one token (batch,) and return states (batch, embedding) and the next decoder state."""
        embedded = self.dropout(self.target_embedding(token.unsqueeze(1)))
        output = self.decoder(embedded, state.hidden, state.memory)
        return output.states.squeeze(1), replace(state, hidden=output.hidden)

    def _initial_hidden(self, encoded: States) -> Hidden:
        """Map encoder states (layers, batch, width) to initial decoder states (layers, batch, hidden)."""
        batch = encoded.values.shape[0]
        shape = (batch, self.config.decoder_layers, self.config.hidden)
        parts = [
            bridge(final.transpose(0, 1).flatten(1)).view(shape).transpose(0, 1).contiguous()
            for bridge, final in zip(self.bridges, encoded.summary, strict=True)
        ]
        # Under autocast the recurrent state keeps the dtype of the parameters.
        precision = self.output_bias.dtype
        return tuple(part.to(precision) for part in (torch.tanh(parts[0]), *parts[1:]))
