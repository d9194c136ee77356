"""Sequences that ask for something far away: what to remember, and where it is asked."""

from __future__ import annotations

import abc
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

NOISE = 8
"""Different tokens that say nothing."""
NOT_ASKED = -1


class Asked(NamedTuple):
    """Sequences of one length, and what is asked of each position."""

    tokens: Tensor
    """(rows, length), long: symbols from 0, then noise, then the token that asks."""
    answers: Tensor
    """(rows, length), long: a symbol, or NOT_ASKED."""


class ProbeTask(abc.ABC):
    """Makes sequences in which two things a known distance apart must be related.

    >>> Recall(symbols=4).test(3, 8, torch.Generator()).tokens.shape
    torch.Size([3, 8])
    """

    title: ClassVar[str]

    def __init__(self, symbols: int):
        self.symbols = symbols
        self.question = symbols + NOISE

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self.symbols + NOISE + 1

    @property
    @abc.abstractmethod
    def chance(self) -> float:
        """The accuracy of a guess that knows nothing of the place of what it saw."""

    @abc.abstractmethod
    def distance(self, length: int) -> int:
        """Return the distance between the two things in a test sequence of this length."""

    @abc.abstractmethod
    def train(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        """Draw sequences with any distance that the length allows."""

    @abc.abstractmethod
    def test(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        """Draw sequences with the distance `distance(length)`."""

    def _noise(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        """Noise that ends with the question, and nothing asked yet."""
        tokens = self.symbols + torch.randint(NOISE, (rows, length), generator=chance)
        tokens[:, -1] = self.question
        return Asked(tokens, torch.full((rows, length), NOT_ASKED))


class Recall(ProbeTask):
    """A symbol, noise, and at the end the question which symbol it was.

    >>> tokens, answers = Recall(symbols=4).test(1, 5, torch.Generator().manual_seed(0))
    >>> bool(tokens[0, 0] == answers[0, -1] < 4), (answers[0, :-1] == NOT_ASKED).all().item()
    (True, True)
    """

    title = "which symbol stood that far before"

    @property
    def chance(self) -> float:
        return 1 / self.symbols

    def distance(self, length: int) -> int:
        return length - 1

    def train(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        places = torch.randint(length - 1, (rows,), generator=chance)
        return self._asked(places, length, chance)

    def test(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        return self._asked(torch.zeros(rows, dtype=torch.long), length, chance)

    def _asked(self, places: Tensor, length: int, chance: torch.Generator) -> Asked:
        rows = torch.arange(len(places))
        asked = self._noise(len(places), length, chance)
        symbols = torch.randint(self.symbols, (len(places),), generator=chance)
        asked.tokens[rows, places] = symbols
        asked.answers[:, -1] = symbols
        return asked


class Copy(ProbeTask):
    """Symbols, and then as many questions, each for the symbol half a sequence before.

    >>> tokens, answers = Copy(symbols=4).test(1, 6, torch.Generator())
    >>> torch.equal(tokens[0, :3], answers[0, 3:])
    True
    """

    title = "the same symbols again, each that far after"

    @property
    def chance(self) -> float:
        return 1 / self.symbols

    def distance(self, length: int) -> int:
        return length // 2

    def train(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        return self.test(rows, length, chance)

    def test(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        half = length // 2
        symbols = torch.randint(self.symbols, (rows, half), generator=chance)
        asked = torch.full_like(symbols, self.question)
        answers = torch.cat([torch.full_like(symbols, NOT_ASKED), symbols], dim=1)
        return Asked(torch.cat([symbols, asked], dim=1), answers)


class First(ProbeTask):
    """Two different symbols in noise, and at the end the question which of the two came first.

    >>> tokens, answers = First(symbols=4).test(1, 5, torch.Generator())
    >>> bool(tokens[0, 0] == answers[0, -1] != tokens[0, 3])
    True
    """

    title = "which of two symbols that far apart came first"

    @property
    def chance(self) -> float:
        return 0.5

    def distance(self, length: int) -> int:
        return length - 2

    def train(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        # the two smallest of random numbers stand at two different places, all pairs equally likely
        places = torch.rand(rows, length - 1, generator=chance).topk(2).indices.sort().values
        return self._asked(places, length, chance)

    def test(self, rows: int, length: int, chance: torch.Generator) -> Asked:
        places = torch.tensor([[0, length - 2]]).expand(rows, 2)
        return self._asked(places, length, chance)

    def _asked(self, places: Tensor, length: int, chance: torch.Generator) -> Asked:
        rows = torch.arange(len(places))[:, None]
        asked = self._noise(len(places), length, chance)
        one = torch.randint(self.symbols, (len(places),), generator=chance)
        step = 1 + torch.randint(self.symbols - 1, (len(places),), generator=chance)
        asked.tokens[rows, places] = torch.stack([one, (one + step) % self.symbols], dim=1)
        asked.answers[:, -1] = one
        return asked


TASKS: dict[str, type[ProbeTask]] = {"recall": Recall, "copy": Copy, "first": First}
"""Name -> task, `TASKS[name](symbols)`."""
