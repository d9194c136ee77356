"""Heads: from the states of an encoder to the scores of an answer."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import OneOf, Section, check_divides
from heedful.models.encoders import Encoder, States
from heedful.models.fields import Normalizer, Score
from heedful.nn.crf import LinearChain
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.nn.normalizers import build_normalizer
from heedful.nn.pooling import POOLS, AttentionPooling


class Scored(NamedTuple):
    """The scores of an answer and, when asked for, the weights of the pooling."""

    scores: Tensor
    """(batch, outputs), or (batch, length, outputs) of a head that scores every position."""
    weights: Tensor | None = None
    """(batch, heads, 1, length), or None (not asked for, or a head without attention)."""


class PoolingConfig(Section):
    """How the states of a sequence become one vector."""

    kind: Annotated[str, OneOf("pooling", POOLS, "attention")] = Field(
        "attention",
        description="What a learned query attends to, or the states' mean, maximum or last.",
    )
    heads: int = Field(
        4, ge=1, description="Queries of attention; they must divide the states' width."
    )
    score: Score = Field("additive", description="How attention compares its query and a state.")
    normalizer: Normalizer = Field("softmax", description="How attention's scores become weights.")
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Probability of dropping a feature of the vector."
    )


def _output_layer(width: int, outputs: int) -> Linear:
    layer = Linear(width, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class PositionHead(nn.Module):
    """Scores of every label for each position: `States` of (batch, length, width) -> (batch, length, outputs).

    Args:
        width: features of a state.
        outputs: number of labels.
        chain: score neighbouring labels together with a linear-chain CRF, `chain`.
        dropout: probability of dropping a feature of a state.

    >>> import torch
    >>> states = States(torch.ones(2, 5, 8), torch.tensor([5, 2]), ())
    >>> PositionHead(8, 3)(states).scores.shape
    torch.Size([2, 5, 3])
    """

    def __init__(self, width: int, outputs: int, *, chain: bool = False, dropout: float = 0.0):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.output = _output_layer(width, outputs)
        self.chain = LinearChain(outputs) if chain else None

    def features(self, states: States) -> Tensor:
        """Return the states after dropout, (batch, length, width): what the output layer reads."""
        dropped: Tensor = self.dropout(states.values)
        return dropped

    def forward(
        self, states: States, *, key_bias: Tensor | None = None, return_weights: bool = False
    ) -> Scored:
        """Score every position; there is no pooling, so the other arguments have no effect."""
        return Scored(self.output(self.features(states)))


class PooledHead(nn.Module):
    """Scores of one answer a sequence: `States` of (batch, length, width) -> (batch, outputs).

    Args:
        pooling: how the states become one vector.
        encoder: where the states come from. The last state of a recurrent encoder is that of its top layer, in
            both directions.
        outputs: number of scores.

    Raises: OptionError when the heads of the pooling do not divide the width of the states.

    >>> import torch
    >>> from heedful.models.encoders.local import NoContextConfig, NoContextEncoder
    >>> encoder = NoContextEncoder(NoContextConfig(hidden=8), 4)
    >>> head = PooledHead(PoolingConfig(), encoder, 3)
    >>> head(encoder(torch.ones(2, 5, 4), torch.tensor([5, 2]))).scores.shape
    torch.Size([2, 3])
    """

    def __init__(self, pooling: PoolingConfig, encoder: Encoder, outputs: int):
        super().__init__()
        width = encoder.width
        self.pooling: AttentionPooling | None = None
        if pooling.kind == "attention":
            check_divides("pooling.heads", pooling.heads, "the width of the states", width)
            self.pooling = AttentionPooling(
                width,
                pooling.heads,
                score=pooling.score,
                normalizer=build_normalizer(pooling.normalizer, num_heads=pooling.heads),
            )
        self.kind = pooling.kind
        self.last_from_summary = pooling.kind == "last" and encoder.summary_is_last_state
        self.dropout = Dropout(pooling.dropout)
        self.output = _output_layer(width, outputs)

    def forward(
        self, states: States, *, key_bias: Tensor | None = None, return_weights: bool = False
    ) -> Scored:
        """Pool and score.

        Args:
            states: what the encoder returned.
            key_bias: added to the scores of the pooling's attention, (batch, length).
            return_weights: also return the weights of the pooling's attention.
        """
        weights = None
        if self.pooling is not None:
            pooled, weights = self.pooling(
                states.values, states.lengths, key_bias, return_weights=return_weights
            )
        elif self.last_from_summary:
            pooled = states.summary[0][-1]
        else:
            pooled = POOLS[self.kind](states.values, states.lengths)
        return Scored(self.output(self.dropout(pooled)), weights)
