"""Encoded examples, grouped into padded batches for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from heedful.data.batching import token_batches

Example = TypeVar("Example")
Padded = TypeVar("Padded")


@dataclass(frozen=True)
class Batches(Generic[Example, Padded]):
    """Encoded examples and how they are batched.

    Batches are padded lazily, so an epoch is never in memory twice.

    >>> from heedful.data.batching import pad_ids
    >>> lengths = lambda pair: (len(pair[0]), len(pair[1]) - 1)
    >>> pad = lambda pairs: pad_ids([source for source, _ in pairs], 0)
    >>> batches = Batches([([5, 3], [2, 6, 3])] * 4, lengths, pad, tokens=4, seed=0)
    >>> len(batches), [ids.shape[0] for ids, _ in batches.epoch(1, first=1)]
    (2, [2])
    """

    examples: Sequence[Example]
    lengths: Callable[[Example], tuple[int, int]]
    """(source length, target length) of an example; equal where it has one sequence."""
    collate: Callable[[list[Example]], Padded]
    tokens: int
    """Maximum tokens of a batch on its longer side, padding included."""
    seed: int
    variant: Callable[[Example, np.random.Generator], Example] | None = None
    """Makes a random variant of an example each epoch; what it draws depends on (seed, epoch, example) alone."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch: equal for all epochs, since only equal lengths are shuffled."""
        return len(self._rows(epoch=0))

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Padded]:
        """Yield the batches of an epoch, in its shuffled order, starting at index `first`."""
        for rows in self._rows(epoch)[first:]:
            yield self.collate([self._example(index, epoch) for index in rows])

    def _example(self, index: int, epoch: int) -> Example:
        example = self.examples[index]
        if self.variant is None:
            return example
        return self.variant(example, np.random.default_rng([self.seed, epoch, index]))

    def _rows(self, epoch: int) -> list[list[int]]:
        lengths = [self.lengths(example) for example in self.examples]
        return token_batches(lengths, max_tokens=self.tokens, seed=self.seed, epoch=epoch)
