"""Hypotheses of a search: those that are being extended, and those that are returned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sequence."""

    tokens: list[int]
    """Token ids without the begin and end tokens."""
    score: float
    """Sum of the tokens' log-probabilities (the end token's too) divided by the length penalty, and the coverage
    penalty if there is one."""
    finished: bool = True
    """Whether the sequence ended with the end token; False if `max_length` truncated it."""


@dataclass(frozen=True)
class ActiveHypotheses:
    """The active hypotheses of all sentences, in the order of the sentences, best first."""

    sentence: Tensor
    """(rows,) index of the row's sentence in the batch; non-decreasing."""
    rank: Tensor
    """(rows,) number of the row within its sentence."""
    tokens: Tensor
    """(rows, length), the begin token first."""
    scores: Tensor
    """(rows,) sums of log-probabilities."""

    @classmethod
    def first(cls, sentences: int, begin: int, device: torch.device) -> ActiveHypotheses:
        """Return one row per sentence with only the begin token."""
        return cls(
            torch.arange(sentences, device=device),
            torch.zeros(sentences, dtype=torch.long, device=device),
            torch.full((sentences, 1), begin, dtype=torch.long, device=device),
            torch.zeros(sentences, device=device),
        )

    def part(self, rows: slice) -> ActiveHypotheses:
        """Return some of the hypotheses."""
        parts = (self.sentence, self.rank, self.tokens, self.scores)
        return ActiveHypotheses(*(each[rows] for each in parts))

    @property
    def length(self) -> int:
        """Tokens of each hypothesis after the begin token."""
        return self.tokens.shape[1] - 1


def ranked(sentence: Tensor, tokens: Tensor, scores: Tensor) -> ActiveHypotheses:
    """Return hypotheses numbered within their sentences, from rows in the order of the sentences.

    >>> found = ranked(torch.tensor([0, 0, 3]), torch.zeros(3, 1, dtype=torch.long), torch.zeros(3))
    >>> found.rank.tolist()
    [0, 1, 0]
    """
    rank = torch.arange(sentence.shape[0], device=sentence.device)
    return ActiveHypotheses(sentence, rank - torch.searchsorted(sentence, sentence), tokens, scores)
