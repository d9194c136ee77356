"""Pairs to train on as token ids, and the batches that each epoch takes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from heedful.data.batching import Batch, collate, token_batches
from heedful.tasks.text_pairs import IdPair


@dataclass(frozen=True)
class Batches:
    """Encoded pairs and how they are cut into batches.

    A batch is padded when it is asked for: an epoch of a million pairs never lies in memory twice.

    >>> batches = Batches([([5, 3], [2, 6, 3])] * 4, pad=0, tokens=4, seed=0)
    >>> len(batches), [batch.source.shape[0] for batch in batches.epoch(1, first=1)]
    (2, [2])
    """

    ids: list[IdPair]
    pad: int
    tokens: int
    """Most tokens in a batch, padding counted, on its longer side."""
    seed: int

    def __len__(self) -> int:
        """Count the batches of an epoch; each epoch has as many, for only pairs of equal lengths trade places."""
        return len(self._rows(epoch=0))

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `first` on, in the epoch's own order."""
        for rows in self._rows(epoch)[first:]:
            yield collate([self.ids[index] for index in rows], self.pad)

    def _rows(self, epoch: int) -> list[list[int]]:
        lengths = [(len(source), len(target) - 1) for source, target in self.ids]
        return token_batches(lengths, max_tokens=self.tokens, seed=self.seed, epoch=epoch)
