"""One answer a sequence: token features, any encoder, pooling, and a linear map to the answer's scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import OneOf, Section, check_divides
from heedful.models.encoders import ENCODERS, EncoderSection
from heedful.models.encoders.inputs import (
    TokenBatch,
    TokenInputs,
    TokenInputsConfig,
    VectorTable,
)
from heedful.models.encoders.recurrent import RecurrentStates
from heedful.models.fields import Normalizer, Score
from heedful.models.frequency import (
    FrequencyConfig,
    keep_probability,
    spent_on_frequent,
    subsample,
)
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.nn.normalizers import build_normalizer
from heedful.nn.pooling import POOLS, AttentionPooling


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


class SequenceSizes(NamedTuple):
    """How many entries the vocabularies have, and how many numbers an answer takes."""

    words: int
    characters: int
    outputs: int
    vectors: VectorTable | None = None


class SequenceModel(nn.Module):
    """Scores of the answers to each sequence: (batch, outputs).

    `frequencies` (words,) holds the share of the training tokens that each word is, from which `frequency`
    takes what it needs. It is kept with the weights.

    >>> from heedful.models.encoders.local import NoContextConfig
    >>> inputs = TokenInputsConfig(characters="none", word_width=4)
    >>> model = SequenceModel(inputs, NoContextConfig(hidden=8), PoolingConfig(), SequenceSizes(10, 5, 3)).eval()
    >>> ids = torch.tensor([[2, 3]])
    >>> batch = TokenBatch(ids, torch.tensor([2]), ids, torch.tensor([[2]]), torch.tensor([1]))
    >>> model(batch).shape
    torch.Size([1, 3])
    """

    frequencies: Tensor

    def __init__(
        self,
        inputs: TokenInputsConfig,
        encoder: EncoderSection,
        pooling: PoolingConfig,
        sizes: SequenceSizes,
        frequency: FrequencyConfig | None = None,
    ):
        super().__init__()
        self.frequency = FrequencyConfig() if frequency is None else frequency
        self.inputs = TokenInputs(inputs, sizes.words, sizes.characters, sizes.vectors)
        self.encoder = ENCODERS[encoder.kind](encoder, self.inputs.width)
        self.pooling: AttentionPooling | None = None
        if pooling.kind == "attention":
            width = self.encoder.width
            check_divides("pooling.heads", pooling.heads, "the width of the states", width)
            self.pooling = AttentionPooling(
                self.encoder.width,
                pooling.heads,
                score=pooling.score,
                normalizer=build_normalizer(pooling.normalizer, num_heads=pooling.heads),
            )
        self.pool = pooling.kind
        self.dropout = Dropout(pooling.dropout)
        self.output = Linear(self.encoder.width, sizes.outputs)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.register_buffer("frequencies", torch.zeros(sizes.words))

    @property
    def members(self) -> Sequence[SequenceModel]:
        """Itself: an `Ensemble` has several."""
        return (self,)

    def forward(self, batch: TokenBatch) -> Tensor:
        return self.scored(batch)[0]

    def scored(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Return the scores, and the penalty for attention on frequent words, summed over the sequences."""
        if self.training and self.frequency.subsample:
            batch = subsample(batch, keep_probability(self.frequencies, self.frequency.subsample))
        return self.answer(self.inputs(batch), batch)

    def answer(self, features: Tensor, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """As `scored`, from the tokens' features (batch, length, width)."""
        states = self.encoder(features, batch.lengths)
        penalty = features.new_zeros(())
        if self.pooling is not None:
            options, found = self.frequency, self.frequencies[batch.words]
            wanted = bool(options.penalty) and self.training
            pooled, weights = self.pooling(
                states.values, batch.lengths, options.bias(found), return_weights=wanted
            )
            if weights is not None and wanted:
                spent = spent_on_frequent(weights, found, options.smoothing)
                penalty = options.penalty * spent.sum()
        elif self.pool == "last" and isinstance(self.encoder, RecurrentStates):
            pooled = states.summary[0][-1]
        else:
            pooled = POOLS[self.pool](states.values, batch.lengths)
        scores: Tensor = self.output(self.dropout(pooled))
        return scores, penalty
