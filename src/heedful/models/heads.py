"""Prediction heads: encoder states to scores."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import OneOf, Section, check_divides
from heedful.models.encoders import Encoder, States
from heedful.models.fields import Normalizer, Score
from heedful.models.kernel_regression import KernelRegression
from heedful.nn.crf import LinearChain
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.nn.normalizers import build_normalizer
from heedful.nn.pooling import POOLS, AttentionPooling


class HeadOutput(NamedTuple):
    """Scores and optionally the attention weights of the pooling."""

    scores: Tensor
    """(batch, outputs), or (batch, length, outputs) for a head that scores every position."""
    weights: Tensor | None = None
    """(batch, heads, 1, length); None if not requested or for a head without attention."""


class PoolingConfig(Section):
    """Pooling of the states of a sequence to one vector."""

    kind: Annotated[str, OneOf("pooling", POOLS, "attention")] = Field(
        "attention",
        description="Attention with a learned query, or the mean, maximum, last or first of the states.",
    )
    heads: int = Field(4, ge=1, description="Attention heads; must divide the width of the states.")
    score: Score = Field("additive", description="Score function of the attention.")
    normalizer: Normalizer = Field(
        "softmax", description="Normalizer of attention scores to weights."
    )
    dropout: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Dropout probability of the pooled vector, and of the hidden layer.",
    )
    hidden: int = Field(
        0,
        ge=0,
        description="Features of a hidden layer between the pooled vector and the scores; 0: none.",
    )


def _output_layer(width: int, outputs: int) -> Linear:
    layer = Linear(width, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class PositionHead(nn.Module):
    """Scores of all labels at each position: `States` of (batch, length, width) -> (batch, length, outputs).

    Args:
        width: features of a state.
        outputs: number of labels.
        chain: whether to add a linear-chain CRF, the attribute `chain`.
        dropout: dropout probability of the states.

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
        """Return the states after dropout, (batch, length, width), the input of the output layer."""
        dropped: Tensor = self.dropout(states.values)
        return dropped

    def forward(
        self, states: States, *, key_bias: Tensor | None = None, return_weights: bool = False
    ) -> HeadOutput:
        """Score every position; the other arguments have no effect without pooling."""
        return HeadOutput(self.output(self.features(states)))


class PooledHead(nn.Module):
    """Scores of one answer per sequence: `States` of (batch, length, width) -> (batch, outputs).

    Args:
        pooling: the pooling of the states.
        encoder: the encoder of the states. The last state of a recurrent encoder is the final state of its top
            layer, in both directions.
        outputs: number of scores.

    With `kernel`, a regression on the features of the whole sequence, its scores are mixed in outside training.

    Raises: OptionError if the pooling heads do not divide the width of the states.

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
        joined = width + encoder.whole_width
        self.hidden = _output_layer(joined, pooling.hidden) if pooling.hidden else None
        self.output = _output_layer(pooling.hidden or joined, outputs)
        self.kernel: KernelRegression | None = None

    def forward(
        self,
        states: States,
        *,
        whole: Tensor | None = None,
        key_bias: Tensor | None = None,
        return_weights: bool = False,
    ) -> HeadOutput:
        """Pool and score.

        Args:
            states: the states of the encoder.
            whole: (batch, encoder.whole_width), features of the whole sequence, joined with the pooled vector; nothing
                is dropped of them here.
            key_bias: (batch, length), added to the attention scores of the pooling.
            return_weights: also return the attention weights of the pooling.
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
        pooled = self.dropout(pooled)
        if whole is not None:
            pooled = torch.cat([pooled, whole], dim=-1)
        if self.hidden is not None:
            pooled = self.dropout(F.gelu(self.hidden(pooled)))
        scores = self.output(pooled)
        if self.kernel is not None and not self.training:  # it fits the training examples anyway
            assert whole is not None
            scores = self.kernel.joined(scores, whole)
        return HeadOutput(scores, weights)
