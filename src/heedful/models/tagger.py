"""A tagger: token features, any encoder, and scores for each label, with or without a chain of labels."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from heedful.models.encoders import ENCODERS, EncoderSection
from heedful.models.encoders.inputs import (
    TokenBatch,
    TokenInputs,
    TokenInputsConfig,
    VectorTable,
)
from heedful.nn.crf import LinearChain
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear


class TaggerSizes(NamedTuple):
    """How many entries each vocabulary has."""

    words: int
    characters: int
    labels: int
    vectors: VectorTable | None = None


class TaggerModel(nn.Module):
    """Scores of every label for each token: (batch, length, labels).

    Args:
        inputs: how tokens become features.
        encoder: which encoder, and its sizes.
        sizes: of the vocabularies.
        chain: whether neighbouring labels are scored together (a linear-chain CRF, `chain`).
        dropout: of the states, before the scores.

    >>> import torch
    >>> from heedful.models.encoders.local import NoContextConfig
    >>> inputs = TokenInputsConfig(characters="none", word_width=4)
    >>> model = TaggerModel(inputs, NoContextConfig(hidden=8), TaggerSizes(10, 5, 3)).eval()
    >>> ids = torch.tensor([[2, 3]])
    >>> batch = TokenBatch(ids, torch.tensor([2]), ids, torch.tensor([[2]]), torch.tensor([1]))
    >>> model(batch).shape
    torch.Size([1, 2, 3])
    """

    def __init__(
        self,
        inputs: TokenInputsConfig,
        encoder: EncoderSection,
        sizes: TaggerSizes,
        *,
        chain: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.inputs = TokenInputs(inputs, sizes.words, sizes.characters, sizes.vectors)
        self.encoder = ENCODERS[encoder.kind](encoder, self.inputs.width)
        self.dropout = Dropout(dropout)
        self.output = Linear(self.encoder.width, sizes.labels)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.chain = LinearChain(sizes.labels) if chain else None

    def states(self, batch: TokenBatch) -> Tensor:
        """Return the states, (batch, length, width)."""
        values = self.encoder(self.inputs(batch), batch.lengths).values
        dropped: Tensor = self.dropout(values)
        return dropped

    def forward(self, batch: TokenBatch) -> Tensor:
        scores: Tensor = self.output(self.states(batch))
        return scores

    def best(self, batch: TokenBatch) -> Tensor:
        """Return the best label of each token, (batch, length); any label at padding."""
        scores: Tensor = self(batch)
        if self.chain is None:
            return scores.argmax(dim=-1)
        return self.chain.decode(scores, batch.lengths)
