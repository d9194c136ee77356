"""The coverage penalty: outputs that left parts of the source without attention lose score."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coverage:
    r"""The attention that each source position has got from the tokens of each hypothesis.

    .. math:: cp = \beta \sum_{i=1}^{n} \log \min(\textstyle\sum_j a_{ji}, 1)

    (Wu et al. 2016, https://arxiv.org/abs/1609.08144, eq. 14), at most 0, and 0 where each position has got 1 or more.

    >>> coverage = Coverage.start(torch.tensor([2]), 1.0).add(torch.tensor([[1.0, 0.5, 0.0]]))
    >>> coverage.penalties()
    tensor([-0.6931])
    """

    weight: float
    """β."""
    lengths: Tensor
    """(rows,), source positions of each."""
    total: Tensor | None = None
    """(rows, source)."""

    @classmethod
    def start(cls, lengths: Tensor, weight: float) -> Coverage:
        """Return the coverage before the first token, a row for each of `lengths`."""
        return cls(weight, lengths)

    def add(self, weights: Tensor) -> Coverage:
        """Return the coverage after the attention weights (rows, source) of a further token."""
        return replace(self, total=weights if self.total is None else self.total + weights)

    def select(self, rows: Tensor) -> Coverage:
        """Return the coverage of some hypotheses; rows may repeat."""
        assert self.total is not None
        return Coverage(self.weight, self.lengths.to(rows.device)[rows], self.total[rows])

    def penalties(self) -> Tensor:
        """Return the penalty of each row: (rows,)."""
        assert self.total is not None
        positions = torch.arange(self.total.shape[1], device=self.total.device)
        padding = positions >= self.lengths.to(self.total.device)[:, None]
        smallest = torch.finfo(self.total.dtype).tiny
        logarithms = self.total.clamp(smallest, 1.0).log().masked_fill(padding, 0.0)
        return self.weight * logarithms.sum(dim=1)
