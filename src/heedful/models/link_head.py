"""The score of a link between two nodes."""

from __future__ import annotations

from torch import Tensor, nn

from heedful.models.encoders import States
from heedful.models.heads import HeadOutput
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear


class LinkHead(nn.Module):
    r"""Scores of candidates, :math:`s_{uv} = (W h_u)^\top h_v / \sqrt{d} + b^\top h_v`.

    The first state of a sequence is that of the source u, the others are those of the candidates v: `States` of (batch,
    1 + candidates, width) -> (batch, candidates).

    Args:
        width: features of a state.
        dropout: dropout probability of the states.

    >>> import torch
    >>> LinkHead(8)(States(torch.ones(2, 4, 8), torch.tensor([4, 4]), ())).scores.shape
    torch.Size([2, 3])
    """

    def __init__(self, width: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.source = Linear(width, width)
        self.popularity = Linear(width, 1, bias=False)

    def forward(
        self, states: States, *, key_bias: Tensor | None = None, return_weights: bool = False
    ) -> HeadOutput:
        """Score the candidates; the other arguments have no effect."""
        values = self.dropout(states.values)
        source, candidates = self.source(values[:, :1]), values[:, 1:]
        products = (source * candidates).sum(-1) / values.shape[-1] ** 0.5
        return HeadOutput(products + self.popularity(candidates)[..., 0])
