"""Log-probabilities of the extensions of hypotheses, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

BLOCK: Final = 64
"""Columns of which the maximum is taken first; about the square root of the size of a vocabulary."""


@dataclass(frozen=True)
class Extensions:
    """Scores of the extensions of each hypothesis by each token, not yet normalized.

    Normalizing only the chosen ones saves writing the log-probabilities of all tokens.
    """

    logits: Tensor
    """(rows, tokens); -inf of what is not allowed."""
    normalizer: Tensor | None
    """(rows,), subtracted from the logits; None: they are log-probabilities."""

    @classmethod
    def of(cls, logits: Tensor) -> Extensions:
        """Return the extensions for logits (rows, tokens); their log-probabilities are those of a softmax."""
        return cls(logits, torch.logsumexp(logits, dim=1))

    def best(self, width: int) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and tokens of the best extensions of each row, best first: (rows, width) each.

        >>> values, tokens = Extensions.of(torch.tensor([[0.0, 2.0, 1.0]])).best(2)
        >>> tokens.tolist()
        [[1, 2]]
        """
        values, tokens = top_k(self.logits, min(width, self.logits.shape[1]))
        if self.normalizer is not None:
            values = values - self.normalizer[:, None]
        return values, tokens

    def at(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Return the log-probabilities of some extensions: (chosen,), (chosen,) -> (chosen,)."""
        values = self.logits[rows, tokens]
        return values if self.normalizer is None else values - self.normalizer[rows]


def top_k(values: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of each row and their columns, largest first: (rows, columns) -> (rows, width) twice.

    They lie in those blocks of columns that have the largest maxima, and these are found by one pass that the
    processor's vectors do; `torch.topk` over all columns takes several times as long.

    >>> values, columns = top_k(torch.tensor([[3.0, 1.0, 4.0, 1.5]]), 2)
    >>> values.tolist(), columns.tolist()
    ([[4.0, 3.0]], [[2, 0]])
    """
    rows, columns = values.shape
    blocks = columns // BLOCK
    if width == 1:
        best, where = values.max(dim=1, keepdim=True)
        return best, where
    if blocks < 2 * width:
        return values.topk(width, dim=1)
    whole = blocks * BLOCK
    blocked = values[:, :whole].unflatten(1, (blocks, BLOCK))
    _, chosen = blocked.amax(dim=2).topk(width, dim=1)
    inside = torch.arange(BLOCK, device=values.device)
    candidates = (chosen[:, :, None] * BLOCK + inside).flatten(1)
    if whole < columns:
        rest = torch.arange(whole, columns, device=values.device).expand(rows, -1)
        candidates = torch.cat([candidates, rest], dim=1)
    best, where = values.gather(1, candidates).topk(width, dim=1)
    return best, candidates.gather(1, where)
