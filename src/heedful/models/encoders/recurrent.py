"""Recurrent encoders, and an LSTM with self-attention on top."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import check_divides
from heedful.models.encoders.base import Encoder, EncoderConfig, GraphEdges, States
from heedful.models.fields import Score
from heedful.nn.dropout import Dropout
from heedful.nn.lstm import LSTMEncoder
from heedful.nn.multi_head import MultiHeadAttention
from heedful.nn.recurrent import RecurrentEncoder
from heedful.ops import masks


class RecurrentEncoderConfig(EncoderConfig):
    """RNN, LSTM or GRU."""

    kind: Literal["rnn", "lstm", "gru"] = Field("lstm", description="The encoder.")
    hidden: int = Field(200, ge=1, description="Features of a state, per direction.")
    layers: int = Field(2, ge=1, description="Recurrent layers.")
    bidirectional: bool = Field(True, description="Run in both directions.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout probability between layers.")


class RecurrentAttentionConfig(EncoderConfig):
    """LSTM followed by self-attention."""

    kind: Literal["lstm+attention"] = Field("lstm+attention", description="The encoder.")
    hidden: int = Field(200, ge=1, description="Features of a state, per direction.")
    layers: int = Field(1, ge=1, description="Recurrent layers.")
    bidirectional: bool = Field(True, description="Run in both directions.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide the width of the states.")
    score: Score = Field("scaled_dot", description="Score function of query and key.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout probability between layers.")


class RecurrentStates(Encoder):
    """An RNN, LSTM or GRU; the summary is the final states, [→h ; ←h] if bidirectional.

    >>> encoder = RecurrentStates(RecurrentEncoderConfig(kind="gru", hidden=4), 3)
    >>> states = encoder(torch.ones(2, 5, 3), torch.tensor([5, 2]))
    >>> states.values.shape, states.summary[0].shape
    (torch.Size([2, 5, 8]), torch.Size([2, 2, 8]))
    """

    summary_is_last_state = True
    configuration = RecurrentEncoderConfig

    def __init__(self, config: RecurrentEncoderConfig, input_width: int):
        super().__init__(input_width, config.hidden * (2 if config.bidirectional else 1))
        self.bidirectional = config.bidirectional
        # One module per layer, to use our dropout between them: PyTorch's is slower.
        self.layers = nn.ModuleList(
            _layer(config, self.width if number else input_width) for number in range(config.layers)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, inputs: Tensor, lengths: Tensor, edges: GraphEdges | None = None) -> States:
        """Encode inputs (batch, length, input_width) of the given lengths (batch,)."""
        values, finals = inputs, []
        for number, layer in enumerate(self.layers):
            values, _, final = layer(self.dropout(values) if number else values, lengths)
            finals.append(final)
        summary = tuple(torch.cat(parts) for parts in zip(*finals, strict=True))
        return States(values, lengths, summary)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        return self.forward(inputs, lengths).values


def _layer(config: RecurrentEncoderConfig, input_width: int) -> RecurrentEncoder:
    if config.kind == "lstm":
        return LSTMEncoder(input_width, config.hidden, bidirectional=config.bidirectional)
    return RecurrentEncoder(
        config.kind, input_width, config.hidden, bidirectional=config.bidirectional
    )


class RecurrentAttention(Encoder):
    """Self-attention over LSTM states: norm(h + attention(h)).

    >>> encoder = RecurrentAttention(RecurrentAttentionConfig(hidden=4, heads=2), 3)
    >>> encoder(torch.ones(2, 5, 3), torch.tensor([5, 2])).values.shape
    torch.Size([2, 5, 8])
    """

    has_attention = True
    configuration = RecurrentAttentionConfig

    def __init__(self, config: RecurrentAttentionConfig, input_width: int):
        lstm = RecurrentStates(
            RecurrentEncoderConfig(
                hidden=config.hidden,
                layers=config.layers,
                bidirectional=config.bidirectional,
                dropout=config.dropout,
            ),
            input_width,
        )
        check_divides("encoder.heads", config.heads, "the width of the states", lstm.width)
        super().__init__(input_width, lstm.width)
        self.lstm = lstm
        self.attention = MultiHeadAttention(
            self.width, config.heads, score=config.score, kind="encoder"
        )
        self.norm = nn.LayerNorm(self.width)
        self.dropout = Dropout(config.dropout)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states = self.lstm(inputs, lengths).values
        attended = self.attention(self.dropout(states), mask=masks.Padding(lengths)).output
        output: Tensor = self.norm(states + self.dropout(attended))
        return output
