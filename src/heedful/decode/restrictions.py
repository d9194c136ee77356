"""Restrictions of a search: which tokens may not extend a hypothesis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from heedful.decode.hypotheses import ActiveHypotheses


class Restriction(Protocol):
    """Excludes extensions of hypotheses."""

    def exclude(self, logits: Tensor, hypotheses: ActiveHypotheses) -> None:
        """Set the logits (rows, tokens) of extensions that are not allowed to -inf, in place."""
        ...


@dataclass(frozen=True)
class NoRepeatedNgrams:
    """No sequence of `size` tokens occurs twice in a hypothesis (Paulus et al. 2018, section 2.5).

    >>> rows = ActiveHypotheses.first(1, 2, torch.device("cpu"))
    >>> rows = ActiveHypotheses(rows.sentence, rows.rank, torch.tensor([[2, 5, 6, 7, 5, 6]]), rows.scores)
    >>> logits = torch.zeros(1, 9)
    >>> NoRepeatedNgrams(3).exclude(logits, rows)
    >>> logits.isinf().nonzero().tolist()
    [[0, 7]]
    """

    size: int

    def exclude(self, logits: Tensor, hypotheses: ActiveHypotheses) -> None:
        """Do as `Restriction.exclude`."""
        tokens = hypotheses.tokens
        if tokens.shape[1] < self.size:
            return
        found = tokens.unfold(1, self.size, 1)  # (rows, places, size)
        last = tokens[:, tokens.shape[1] - self.size + 1 :]
        rows, places = (found[..., :-1] == last[:, None]).all(dim=2).nonzero(as_tuple=True)
        logits[rows, found[rows, places, -1]] = -math.inf


SHORTEST_LOOP: Final = 4
"""A sequence is repeated at least this often, and not only followed by itself, before that counts as a loop."""


@dataclass(frozen=True)
class NoLoops:
    """A hypothesis does not go on repeating the same few tokens.

    The last `limit` tokens may be one sequence of up to limit / 4 tokens over and over again, as in a long number, but
    not more than that.

    >>> rows = ActiveHypotheses.first(1, 2, torch.device("cpu"))
    >>> rows = ActiveHypotheses(rows.sentence, rows.rank, torch.tensor([[2, 5, 6, 5, 6, 5, 6, 5, 6]]), rows.scores)
    >>> logits = torch.zeros(1, 9)
    >>> NoLoops(8).exclude(logits, rows)
    >>> logits.isinf().nonzero().tolist()
    [[0, 5]]
    """

    limit: int

    def exclude(self, logits: Tensor, hypotheses: ActiveHypotheses) -> None:
        """Do as `Restriction.exclude`."""
        if hypotheses.length < self.limit:
            return
        last = hypotheses.tokens[:, -self.limit :]
        for period in range(1, self.limit // SHORTEST_LOOP + 1):
            repeats = (last[:, period:] == last[:, :-period]).all(dim=1)
            rows = repeats.nonzero()[:, 0]
            logits[rows, last[rows, -period]] = -math.inf


@dataclass(frozen=True)
class MinimumLength:
    """A hypothesis has at least so many tokens before it ends."""

    lengths: Tensor
    """(sentences,)."""
    end: int

    def exclude(self, logits: Tensor, hypotheses: ActiveHypotheses) -> None:
        """Do as `Restriction.exclude`."""
        short = hypotheses.length < self.lengths[hypotheses.sentence]
        logits[short, self.end] = -math.inf


@dataclass(frozen=True)
class ForcedPrefix:
    """A hypothesis begins with given tokens."""

    tokens: Tensor
    """(sentences, longest), padded on the right."""
    lengths: Tensor
    """(sentences,)."""

    @classmethod
    def of(cls, prefixes: Sequence[Sequence[int]], device: torch.device) -> ForcedPrefix:
        """Return the restriction to one prefix for each sentence; an empty one restricts nothing."""
        longest = max(map(len, prefixes), default=0)
        padded = [[*each, *[0] * (longest - len(each))] for each in prefixes]
        lengths = [len(each) for each in prefixes]
        return cls(
            torch.tensor(padded, dtype=torch.long, device=device).view(len(prefixes), longest),
            torch.tensor(lengths, device=device),
        )

    def exclude(self, logits: Tensor, hypotheses: ActiveHypotheses) -> None:
        """Do as `Restriction.exclude`."""
        place, sentence = hypotheses.length, hypotheses.sentence
        rows = (place < self.lengths[sentence]).nonzero()[:, 0]
        if not len(rows):
            return
        wanted = self.tokens[sentence[rows], place]
        kept = logits[rows, wanted]
        logits[rows] = -math.inf
        logits[rows, wanted] = kept


@dataclass(frozen=True)
class NeverTokens:
    """Tokens that no hypothesis is extended by, such as an unknown word."""

    tokens: tuple[int, ...]

    def exclude(self, logits: Tensor, hypotheses: ActiveHypotheses) -> None:
        """Do as `Restriction.exclude`."""
        logits[:, list(self.tokens)] = -math.inf
