"""Recurrent decoders of text: RNN, LSTM or GRU without attention or with Bahdanau or Luong attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.models.bahdanau import BahdanauDecoder
from heedful.models.base import Decoded, TextDecoder
from heedful.models.config import Section
from heedful.models.fields import Normalizer, ScoreOrNone
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
from heedful.nn.recurrent import Hidden, States
from heedful.nn.scores import SCORE_MODULES, build_score


class RecurrentDecoderConfig(Section):
    """Recurrent decoder.

    >>> RecurrentDecoderConfig(kind="lstm", attention="bilinear", order="luong").hidden
    256
    """

    kind: Literal["gru", "lstm", "rnn"] = Field("gru", description="The recurrent cell.")
    embedding: int = Field(256, ge=1, description="Features of token embeddings.")
    hidden: int = Field(256, ge=1, description="Features of the decoder state.")
    decoder_layers: int = Field(1, ge=1, description="Recurrent decoder layers.")
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


def _build_decoder(config: RecurrentDecoderConfig, memory: int) -> RecurrentDecoder:
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


class RecurrentTextDecoder(TextDecoder[RecurrentState]):
    """A recurrent decoder of text over the states of any encoder.

    The initial decoder state is h₀ = tanh(W s + b), with s the summary of the states; the initial cell of an LSTM is
    c₀ = W' s' + b'.

    Args:
        config: sizes and options.
        vocabulary_size: number of token ids.
        memory: width of the states. Their summary is as many vectors of this width as the recurrent state has
            parts (two for an LSTM).

    >>> decoder = RecurrentTextDecoder(RecurrentDecoderConfig(embedding=8, hidden=8), 30, 6).eval()
    >>> memory = States(torch.ones(2, 5, 6), torch.tensor([5, 2]), (torch.ones(1, 2, 6),))
    >>> decoder.output(decoder.decode(memory, torch.tensor([[2, 7], [2, 9]])).states).shape
    torch.Size([2, 2, 30])
    """

    alignment_layer = 0

    def __init__(self, config: RecurrentDecoderConfig, vocabulary_size: int, memory: int) -> None:
        super().__init__()
        self.target_embedding = nn.Embedding(vocabulary_size, config.embedding)
        self._build(config, memory, summary=memory)
        self.reset_parameters()

    def _build(self, config: RecurrentDecoderConfig, memory: int, *, summary: int) -> None:
        """Add all modules but the embedding, for states of width `memory` and summaries of width `summary`."""
        self.has_attention = config.attention != "none"
        self.config = config
        self.dropout = Dropout(config.dropout)
        self.summary_parts = 2 if config.kind == "lstm" else 1
        self.bridges = nn.ModuleList(
            nn.Linear(summary, config.decoder_layers * config.hidden)
            for _ in range(self.summary_parts)
        )
        self.decoder = _build_decoder(config, memory)
        vocabulary_size = self.target_embedding.num_embeddings
        self.output_bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.output_weight = (
            None
            if config.tie_embeddings
            else nn.Parameter(torch.empty(vocabulary_size, config.embedding))
        )

    def reset_parameters(self) -> None:
        """Initialize the embedding, bridges and output layer."""
        # Small, so that the initial output distribution is nearly uniform with tied embeddings.
        nn.init.normal_(self.target_embedding.weight, std=0.1)
        if self.output_weight is not None:
            nn.init.normal_(self.output_weight, std=0.1)
        for bridge in self.bridges:
            assert isinstance(bridge, nn.Linear)
            nn.init.xavier_uniform_(bridge.weight)
            nn.init.zeros_(bridge.bias)

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

    def step_with_weights(
        self, token: Tensor, state: RecurrentState
    ) -> tuple[Tensor, RecurrentState, Tensor]:
        embedded = self.dropout(self.target_embedding(token.unsqueeze(1)))
        output = self.decoder(embedded, state.hidden, state.memory, return_weights=True)
        if output.weights is None:
            return super().step_with_weights(token, state)
        weights = output.weights[:, 0, 0, 0]
        return output.states.squeeze(1), replace(state, hidden=output.hidden), weights

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
