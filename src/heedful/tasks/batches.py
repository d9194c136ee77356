"""Encoded examples, grouped into padded batches for each epoch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from heedful.data.batching import Rows, token_batches

Padded = TypeVar("Padded")
Variant = Callable[[Any, Any, "np.random.Generator"], tuple[Any, Any]]
"""(input, target, generator) -> a random variant of both. NumPy loads its generators when they are first named."""


class Encoded(NamedTuple):
    """The encoded inputs and answers of a dataset, in its order."""

    inputs: Sequence[Any]
    targets: Sequence[Any]


class Share(NamedTuple, Generic[Padded]):
    """What one of several processes computes of a batch."""

    batch: Padded
    is_counted: bool
    """False for a process for which no example is left: it computes one of another process, of which nothing counts."""


def grouped(shares: Iterator[Share[Padded]], size: int) -> Iterator[list[Share[Padded]]]:
    """Yield the shares of `size` batches at a time, which one step sums up; the last of an epoch may be fewer.

    >>> [len(each) for each in grouped(iter([Share(None, True)] * 5), 2)]
    [2, 2, 1]
    """
    while group := list(itertools.islice(shares, size)):
        yield group


@dataclass(frozen=True)
class Batches(Generic[Padded]):
    """Encoded examples and how they are batched.

    The order of an epoch is computed from the seed and the epoch, and batches are padded lazily, so that an epoch is
    never in memory twice and can be entered at any batch.

    >>> from heedful.data.batching import pad_ids
    >>> encoded = Encoded([[5, 3]] * 4, [[2, 6, 3]] * 4)
    >>> def collate(inputs, targets):
    ...     return pad_ids(inputs, 0)[0]
    >>> batches = Batches(encoded, np.arange(4), np.array([[2, 2]] * 4), collate, tokens=4, seed=0)
    >>> len(batches), batches.example_count, [ids.shape[0] for ids in batches.epoch(1, first=1)]
    (2, 4, [2])
    """

    encoded: Encoded
    rows: Rows
    """(examples,), the rows of `encoded` that are used."""
    lengths: NDArray[np.int32]
    """(examples, 2), source length and target length; equal where an example has one sequence."""
    collate: Callable[[list[Any], list[Any]], Padded]
    """(inputs, targets) -> a batch."""
    tokens: int
    """Maximum tokens of a batch on its longer side, padding included."""
    seed: int
    variant: Variant | None = None
    """Makes a random variant of an input and its target each epoch; what it draws depends on (seed, epoch, row)
    alone."""

    @property
    def example_count(self) -> int:
        """The number of examples of an epoch."""
        return len(self.rows)

    def __len__(self) -> int:
        """Return the number of batches of an epoch: equal for all epochs, since only equal lengths are shuffled."""
        return len(self._batches(epoch=0))

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Padded]:
        """Yield the batches of an epoch, in its shuffled order, starting at index `first`."""
        for share in self.shares(epoch, first):
            yield share.batch

    def shares(
        self, epoch: int, first: int = 0, *, process: int = 0, processes: int = 1
    ) -> Iterator[Share[Padded]]:
        """Yield of each batch of an epoch what one process computes: every `processes`-th example.

        Batches and their order do not depend on `processes`, and each example is in one share that is counted.

        Args:
            epoch: see `epoch`.
            first: see `epoch`.
            process: the index of the process.
            processes: how many compute the batches together.
        """
        for batch in self._batches(epoch)[first:]:
            rows = self.rows[batch[process::processes]].tolist()
            pairs = [self._pair(row, epoch) for row in rows or self.rows[batch[:1]].tolist()]
            padded = self.collate([one for one, _ in pairs], [target for _, target in pairs])
            yield Share(padded, bool(rows))

    def one_by_one(self, epoch: int, batch: int) -> Iterator[tuple[int, Padded]]:
        """Yield (row in the dataset, batch of one) for each example of batch `batch` of an epoch."""
        for row in self.rows[self._batches(epoch)[batch]].tolist():
            one, target = self._pair(row, epoch)
            yield row, self.collate([one], [target])

    def _pair(self, row: int, epoch: int) -> tuple[Any, Any]:
        """Return input and target of a row, or their variant of an epoch."""
        encoded, target = self.encoded.inputs[row], self.encoded.targets[row]
        if self.variant is None:
            return encoded, target
        return self.variant(encoded, target, np.random.default_rng([self.seed, epoch, row]))

    def _batches(self, epoch: int) -> list[Rows]:
        return token_batches(self.lengths, max_tokens=self.tokens, seed=self.seed, epoch=epoch)
