"""Two towers, which map histories and replies into one space where those that belong together are near."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import Section
from heedful.models.encoders import build_encoder
from heedful.models.heads import PooledHead, PoolingConfig
from heedful.models.model import Model
from heedful.nn.dropout import Dropout

LARGEST_SCALE = 100.0
"""Of the cosine, as in Radford et al. 2021: beyond it training is unstable."""


class TowersConfig(Section):
    """The space of histories and replies."""

    embedding: int = Field(256, ge=1, description="Features of the embedding of a token.")
    width: int = Field(256, ge=1, description="Features of the vector of a history or a reply.")
    scale: float = Field(
        14.0, gt=0, le=LARGEST_SCALE, description="Initial factor of the cosine; it is learned."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout probability of embeddings.")
    share_encoder: bool = Field(
        False, description="One encoder for histories and replies, instead of one for each."
    )
    bank: int = Field(
        20_000,
        ge=1,
        description="Distinct training replies, the most frequent, that a reply is chosen from.",
    )


class TokenSequence(NamedTuple):
    """A padded batch of histories or replies."""

    ids: Tensor
    """(batch, length), long."""
    lengths: Tensor
    """(batch,), long."""
    ages: Tensor | None = None
    """(batch, length), long, of histories: how many turns ago each token was said."""


class AgedEmbedding(nn.Module):
    """The embedding of a token, to which is added that of the age of its turn: a `TokenSequence` -> features.

    Args:
        tokens: the embedding of tokens, which several may share.
        ages: number of ages; 0: none is added.
        dropout: dropout probability.

    >>> embedding = AgedEmbedding(nn.Embedding(9, 4), 2)
    >>> ids = torch.tensor([[5, 6]])
    >>> embedding(TokenSequence(ids, torch.tensor([2]), torch.tensor([[1, 0]]))).shape
    torch.Size([1, 2, 4])
    """

    def __init__(self, tokens: nn.Embedding, ages: int, dropout: float = 0.0):
        super().__init__()
        self.width = tokens.embedding_dim
        self.tokens = tokens
        self.ages = nn.Embedding(ages, self.width) if ages else None
        if self.ages is not None:
            nn.init.zeros_(self.ages.weight)
        self.dropout = Dropout(dropout)

    def forward(self, batch: TokenSequence) -> Tensor:
        embedded: Tensor = self.tokens(batch.ids)
        if self.ages is not None and batch.ages is not None:
            embedded = embedded + self.ages(batch.ages)
        dropped: Tensor = self.dropout(embedded)
        return dropped


class TwoTowers(nn.Module):
    r"""The score of a reply r to a history h, :math:`s = e^\tau \cos(f(h), g(r))`.

    Each tower is an embedding of tokens, which both share, an encoder, pooling, and a linear map. Learned by telling
    the true reply from the others of a batch: Henderson et al. 2017, https://arxiv.org/abs/1705.00652; as "bi-encoder"
    in Humeau et al. 2020, https://arxiv.org/abs/1905.01969.

    Args:
        config: sizes.
        encoder: the configuration of the encoder of each tower.
        pooling: how states become one vector.
        tokens: number of token ids.
        ages: number of ages of turns.

    >>> from heedful.models.encoders.local import NoContextConfig
    >>> config = TowersConfig(embedding=4, width=6)
    >>> model = TwoTowers(config, NoContextConfig(hidden=8), PoolingConfig(kind="mean"), 20, 3).eval()
    >>> ids, lengths = torch.tensor([[5, 6], [7, 0]]), torch.tensor([2, 1])
    >>> model.histories(TokenSequence(ids, lengths, ids * 0)).shape, model.replies(TokenSequence(ids, lengths)).shape
    (torch.Size([2, 6]), torch.Size([2, 6]))
    """

    def __init__(
        self, config: TowersConfig, encoder: Any, pooling: PoolingConfig, tokens: int, ages: int
    ):
        super().__init__()
        embedding = nn.Embedding(tokens, config.embedding)
        nn.init.normal_(embedding.weight, std=config.embedding**-0.5)
        own = build_encoder(encoder, config.embedding)
        other = own if config.share_encoder else build_encoder(encoder, config.embedding)
        self.history = Model(
            AgedEmbedding(embedding, ages, config.dropout),
            own,
            PooledHead(pooling, own, config.width),
        )
        self.reply = Model(
            AgedEmbedding(embedding, 0, config.dropout),
            other,
            PooledHead(pooling, other, config.width),
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))

    def histories(self, batch: TokenSequence) -> Tensor:
        """Return the vectors of histories, of length 1: (batch, width)."""
        return F.normalize(self.history(batch), dim=-1)

    def replies(self, batch: TokenSequence) -> Tensor:
        """Return the vectors of replies, of length 1: (batch, width)."""
        return F.normalize(self.reply(batch), dim=-1)

    def scale(self) -> Tensor:
        """Return the factor of the cosine."""
        return self.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()
