"""Encoder models: input embedding, encoder and prediction head; and ensembles of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import Section
from heedful.models.encoders import Encoder, GraphEdges, States
from heedful.models.frequency import WordFrequency
from heedful.models.heads import HeadOutput


class Batch(Protocol):
    """A padded batch of any input type."""

    @property
    def lengths(self) -> Tensor:
        """(batch,), long."""
        ...


class Model(nn.Module):
    """Input embedding, encoder and prediction head: a batch -> scores.

    Args:
        inputs: maps a batch to features (batch, length, width).
        encoder: maps features and lengths to `States`.
        head: maps `States` to a `HeadOutput`.
        frequency: handling of frequent words; None: off.

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
        """This model alone; the counterpart of `Ensemble.members`."""
        return (self,)

    def lengths(self, batch: Batch) -> Tensor:
        """Return the number of positions of each sequence, (batch,).

        An embedding that sub-samples has a method `lengths`, from the lengths of the batch to those of its output; one
        that reads something else of the batch has a method `own_lengths`, from the batch.
        """
        own: Callable[[Any], Tensor] | None = getattr(self.inputs, "own_lengths", None)
        if own is not None:
            return own(batch)
        reduced: Callable[[Tensor], Tensor] | None = getattr(self.inputs, "lengths", None)
        return batch.lengths if reduced is None else reduced(batch.lengths)

    def states(self, batch: Batch) -> States:
        """Embed and encode: `States` of (batch, length, encoder.width)."""
        return self._encode(self.inputs(batch), batch)

    def _encode(self, features: Tensor, batch: Any) -> States:
        """Encode features; an encoder that reads edges is given those of the batch, if it has any.

        An embedding of graphs of which only some nodes are answered has a method `answered`, from states and batch to
        the states of these, a sequence of one each.
        """
        find: Callable[[Any], GraphEdges] | None = getattr(self.inputs, "edges", None)
        edges = None if find is None or not self.encoder.reads_edges else find(batch)
        states: States = self.encoder(features, self.lengths(batch), edges)
        choose: Callable[[States, Any], States] | None = getattr(self.inputs, "answered", None)
        return states if choose is None else choose(states, batch)

    def forward(self, batch: Batch) -> Tensor:
        return self.scores_and_penalty(batch)[0]

    def scores_and_penalty(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the scores, and the penalty on attention to frequent words summed over the batch."""
        if self.frequency is not None:
            batch = self.frequency.subsample(batch)
        return self.score_features(self.inputs(batch), batch)

    def score_features(self, features: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """As `scores_and_penalty`, from the features (batch, length, width) of the batch."""
        frequency, states = self.frequency, self._encode(features, batch)
        zero = features.new_zeros(())
        head: Callable[..., HeadOutput] = self.head
        if self.encoder.whole_width:
            head = partial(head, whole=self.inputs.whole(batch))  # type: ignore[operator]
        if frequency is None:
            return head(states).scores, zero
        output = head(
            states, key_bias=frequency.key_bias(batch), return_weights=frequency.has_penalty
        )
        if output.weights is None or not frequency.has_penalty:
            return output.scores, zero
        return output.scores, frequency.penalty(output.weights, batch)


class EnsembleConfig(Section):
    """Deep ensemble."""

    members: int = Field(
        1,
        ge=1,
        description="Independently initialized networks whose scores are averaged; five are usually better than one, "
        "at five times the cost.",
    )


class Ensemble(nn.Module):
    r"""The mean of the members' scores, :math:`\frac{1}{M} \sum_m f_m(x)`: (batch, outputs).

    A deep ensemble (Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474): each member has its own initial
    weights, dropout and loss. For a classifier the mean of the scores is the normalized geometric mean of the
    probabilities.

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
        """The networks whose scores are averaged."""
        return tuple(self._members)  # type: ignore[arg-type]

    def forward(self, batch: Batch) -> Tensor:
        return torch.stack([member(batch) for member in self.members]).mean(dim=0)


AnyModel = Model | Ensemble
"""Both have `members`."""
