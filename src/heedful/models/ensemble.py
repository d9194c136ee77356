"""Several models of one kind whose answers are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.models.classifier import SequenceModel
from heedful.models.config import Section
from heedful.models.encoders.inputs import TokenBatch


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

    Each member begins with weights of its own, draws its own dropout and learns from its own answers alone: a
    deep ensemble (Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474). Of a classifier's scores the mean
    is the normalised geometric mean of the probabilities.

    >>> from heedful.models.classifier import PoolingConfig, SequenceSizes
    >>> from heedful.models.encoders.inputs import TokenInputsConfig
    >>> from heedful.models.encoders.local import NoContextConfig
    >>> parts = TokenInputsConfig(characters="none", word_width=4), NoContextConfig(hidden=8), PoolingConfig()
    >>> model = Ensemble([SequenceModel(*parts, SequenceSizes(10, 5, 3)) for _ in range(2)]).eval()
    >>> ids = torch.tensor([[2, 3]])
    >>> batch = TokenBatch(ids, torch.tensor([2]), ids, torch.tensor([[2]]), torch.tensor([1]))
    >>> one, two = (member(batch) for member in model.members)
    >>> torch.equal(model(batch), (one + two) / 2)
    True
    """

    def __init__(self, members: Sequence[SequenceModel]):
        super().__init__()
        self._members = nn.ModuleList(members)

    @property
    def members(self) -> Sequence[SequenceModel]:
        """The networks."""
        return tuple(self._members)  # type: ignore[arg-type]

    def forward(self, batch: TokenBatch) -> Tensor:
        return torch.stack([member(batch) for member in self.members]).mean(dim=0)


TextModel = SequenceModel | Ensemble
"""What answers texts: `members` are its networks, of which a `SequenceModel` is one alone."""
