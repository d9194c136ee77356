"""Encoded examples, and the batches that each epoch takes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from heedful.data.batching import token_batches

Example = TypeVar("Example")
Padded = TypeVar("Padded")


@dataclass(frozen=True)
class Batches(Generic[Example, Padded]):
    """Encoded examples and how they are cut into batches.

    A batch is padded when it is asked for: an epoch of a million examples never lies in memory twice.

    >>> from heedful.data.batching import pad_ids
    >>> lengths = lambda pair: (len(pair[0]), len(pair[1]) - 1)
    >>> pad = lambda pairs: pad_ids([source for source, _ in pairs], 0)
    >>> batches = Batches([([5, 3], [2, 6, 3])] * 4, lengths, pad, tokens=4, seed=0)
    >>> len(batches), [ids.shape[0] for ids, _ in batches.epoch(1, first=1)]
    (2, [2])
    """

    examples: Sequence[Example]
    lengths: Callable[[Example], tuple[int, int]]
    """What an example adds to a batch on each of two sides; one that has one side gives it twice."""
    collate: Callable[[list[Example]], Padded]
    tokens: int
    """Most tokens in a batch, padding counted, on its longer side."""
    seed: int

    def __len__(self) -> int:
        """Count the batches of an epoch; each has as many, for only examples of equal lengths trade places."""
        return len(self._rows(epoch=0))

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Padded]:
        """Yield the batches of an epoch from number `first` on, in the epoch's own order."""
        for rows in self._rows(epoch)[first:]:
            yield self.collate([self.examples[index] for index in rows])

    def _rows(self, epoch: int) -> list[list[int]]:
        lengths = [self.lengths(example) for example in self.examples]
        return token_batches(lengths, max_tokens=self.tokens, seed=self.seed, epoch=epoch)
