"""A model: the embedding of an input, any encoder, and the head of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import Section
from heedful.models.encoders import Encoder, States
from heedful.models.frequency import WordFrequency
from heedful.models.heads import Scored


class Batch(Protocol):
    """A padded batch of any input: whatever its embedding reads, and the lengths."""

    @property
    def lengths(self) -> Tensor:
        """(batch,), long."""
        ...


class Model(nn.Module):
    """Input + encoder + answer: a batch -> the scores of the head.

    Args:
        inputs: turns a batch into features (batch, length, width).
        encoder: turns features and lengths into `States`.
        head: turns `States` into `Scored`.
        frequency: what is done about frequent words, for inputs of words; None: nothing.

    >>> from heedful.models.encoders.inputs import TokenBatch, TokenInputs, TokenInputsConfig
    >>> from heedful.models.encoders.local import NoContextConfig, NoContextEncoder
    >>> from heedful.models.heads import PooledHead, PoolingConfig
    >>> inputs = TokenInputs(TokenInputsConfig(characters="none", word_width=4), 10, 5)
    >>> encoder = NoContextEncoder(NoContextConfig(hidden=8), inputs.width)
    >>> model = Model(inputs, encoder, PooledHead(PoolingConfig(), encoder, 3)).eval()
    >>> ids = torch.tensor([[2, 3]])
    >>> batch = TokenBatch(ids, torch.tensor([2]), ids, torch.tensor([[2]]), torch.tensor([1]))
    >>> model(batch).shape
    torch.Size([1, 3])
    """

    def __init__(
        self,
        inputs: nn.Module,
        encoder: Encoder,
        head: nn.Module,
        frequency: WordFrequency | None = None,
    ):
        super().__init__()
        self.inputs = inputs
        self.encoder = encoder
        self.head = head
        self.frequency = frequency

    @property
    def members(self) -> Sequence[Model]:
        """The networks whose scores are averaged: itself alone, unlike those of an `Ensemble`."""
        return (self,)

    def states(self, batch: Batch) -> States:
        """Embed and encode: `States` of (batch, length, encoder.width)."""
        states: States = self.encoder(self.inputs(batch), batch.lengths)
        return states

    def forward(self, batch: Batch) -> Tensor:
        return self.scored(batch)[0]

    def scored(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the scores, and the penalty for attention to frequent words, summed over the batch."""
        if self.frequency is not None:
            batch = self.frequency.subsample(batch)
        return self.score_features(self.inputs(batch), batch)

    def score_features(self, features: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """As `scored`, from the features (batch, length, width) of the batch."""
        frequency, states = self.frequency, self.encoder(features, batch.lengths)
        none = features.new_zeros(())
        if frequency is None:
            return self.head(states).scores, none
        found: Scored = self.head(
            states, key_bias=frequency.key_bias(batch), return_weights=frequency.penalises
        )
        if found.weights is None or not frequency.penalises:
            return found.scores, none
        return found.scores, frequency.penalty(found.weights, batch)


class EnsembleConfig(Section):
    """How many networks answer together."""

    members: int = Field(
        1,
        ge=1,
        description="Networks with weights of their own, trained side by side, whose scores are averaged; five "
        "are mostly better than one, and take five times the time.",
    )


class Ensemble(nn.Module):
    r"""The mean of the members' scores, :math:`\frac{1}{M} \sum_m f_m(x)`: (batch, outputs).

    Each member begins with weights of its own, draws its own dropout and learns from its own loss alone: a
    deep ensemble (Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474). Of a classifier's scores the mean
    is the normalised geometric mean of the probabilities.

    >>> from heedful.models.encoders.inputs import TokenBatch, TokenInputs, TokenInputsConfig
    >>> from heedful.models.encoders.local import NoContextConfig, NoContextEncoder
    >>> from heedful.models.heads import PooledHead, PoolingConfig
    >>> def member():
    ...     inputs = TokenInputs(TokenInputsConfig(characters="none", word_width=4), 10, 5)
    ...     encoder = NoContextEncoder(NoContextConfig(hidden=8), inputs.width)
    ...     return Model(inputs, encoder, PooledHead(PoolingConfig(), encoder, 3))
    >>> model = Ensemble([member(), member()]).eval()
    >>> ids = torch.tensor([[2, 3]])
    >>> batch = TokenBatch(ids, torch.tensor([2]), ids, torch.tensor([[2]]), torch.tensor([1]))
    >>> one, two = (member(batch) for member in model.members)
    >>> torch.equal(model(batch), (one + two) / 2)
    True
    """

    def __init__(self, members: Sequence[Model]):
        super().__init__()
        self._members = nn.ModuleList(members)

    @property
    def members(self) -> Sequence[Model]:
        """The networks."""
        return tuple(self._members)  # type: ignore[arg-type]

    def forward(self, batch: Batch) -> Tensor:
        return torch.stack([member(batch) for member in self.members]).mean(dim=0)


AnyModel = Model | Ensemble
"""`members` are its networks, of which a `Model` is one alone."""
