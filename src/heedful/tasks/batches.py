"""Encoded examples, grouped into padded batches for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from heedful.data.batching import Rows, token_batches

Example = TypeVar("Example")
Padded = TypeVar("Padded")


@dataclass(frozen=True)
class Batches(Generic[Example, Padded]):
    """Encoded examples and how they are batched.

    Batches are padded lazily, so an epoch is never in memory twice.

    >>> from heedful.data.batching import pad_ids
    >>> pad = lambda pairs: pad_ids([source for source, _ in pairs], 0)
    >>> batches = Batches([([5, 3], [2, 6, 3])] * 4, np.array([[2, 2]] * 4), pad, tokens=4, seed=0)
    >>> len(batches), [ids.shape[0] for ids, _ in batches.epoch(1, first=1)]
    (2, [2])
    """

    examples: Sequence[Example]
    lengths: NDArray[np.int32]
    """(examples, 2), source length and target length; equal where an example has one sequence."""
    collate: Callable[[list[Example]], Padded]
    tokens: int
    """Maximum tokens of a batch on its longer side, padding included."""
    seed: int

    def __len__(self) -> int:
        """Return the number of batches of an epoch: equal for all epochs, since only equal lengths are shuffled."""
        return len(self._rows(epoch=0))

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Padded]:
        """Yield the batches of an epoch, in its shuffled order, starting at index `first`."""
        for rows in self._rows(epoch)[first:]:
            yield self.collate([self.examples[index] for index in rows.tolist()])

    def _rows(self, epoch: int) -> list[Rows]:
        return token_batches(self.lengths, max_tokens=self.tokens, seed=self.seed, epoch=epoch)


class Encoded(NamedTuple):
    """The encoded inputs and answers of a dataset."""

    inputs: Sequence[Any]
    targets: Sequence[Any]


@dataclass(frozen=True)
class ChosenExamples(Sequence[tuple[Any, Any]]):
    """Some rows of encoded data, as pairs of an input and its target.

    >>> ChosenExamples(Encoded("abc", "ABC"), np.array([2, 0]))[1]
    ('a', 'A')
    """

    encoded: Encoded
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> tuple[Any, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[Any, Any]]: ...
    def __getitem__(self, index: int | slice) -> tuple[Any, Any] | Sequence[tuple[Any, Any]]:
        if isinstance(index, slice):
            return ChosenExamples(self.encoded, self.rows[index])
        row = int(self.rows[index])
        return self.encoded.inputs[row], self.encoded.targets[row]
