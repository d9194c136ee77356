"""BPE-dropout: other divisions of words into the pieces of a vocabulary, for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from heedful.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    from heedful.data.packed_ids import Ids

DRAWS: Final = 256
"""Random numbers that are drawn at a time."""


@dataclass(frozen=True)
class BpeDropout:
    """Divides encoded texts anew, by byte-pair encoding that leaves merges out at random.

    While a word is put together from characters, each merge that could come next is left out with a probability at
    each turn (Provilkov et al. 2020, https://arxiv.org/abs/1910.13267). Which ones, the generator alone decides.
    Unknown characters stay where they are, and so do begin and end.

    >>> vocabulary = Vocabulary.train(["low lower", "new newer"] * 9, kind="bpe", size=40)
    >>> ids = np.array(vocabulary.encode("newer low").ids)
    >>> other = BpeDropout(vocabulary, 0.5, longest=99).divide(ids, np.random.default_rng(0))
    >>> len(other) > len(ids), vocabulary.decode(other)
    (True, 'newer low')
    """

    vocabulary: Vocabulary
    """Of kind bpe."""
    probability: float
    longest: int
    """Ids of a division at most; a longer one is not taken."""

    @classmethod
    def of(cls, config: Any, vocabulary: Vocabulary) -> Self | None:
        """Build it from the settings vocabulary.dropout and data.max_length; None without dropout."""
        probability = getattr(config.vocabulary, "dropout", 0.0)
        return cls(vocabulary, probability, config.data.max_length) if probability else None

    def divide(self, ids: Ids, generator: np.random.Generator) -> Ids:
        """Return other ids of the same text: (length,) -> (its own length,)."""
        draws, found = _uniform(generator), list[int]()
        for run, is_text in self._runs(ids.tolist()):
            if not is_text:
                found += run
                continue
            text = "".join(self.vocabulary.pieces[each] for each in run)
            for word in self.vocabulary.pretokens(text):
                found += self._word(word, draws)
        return np.array(found, dtype=ids.dtype) if len(found) <= self.longest else ids

    def _runs(self, ids: Sequence[int]) -> Iterator[tuple[list[int], bool]]:
        """Yield the ids of pieces that follow each other, and those of reserved tokens between them."""
        run: list[int] = []
        for each in ids:
            if each < self.vocabulary.reserved_count:
                if run:
                    yield run, True
                yield [each], False
                run = []
            else:
                run.append(each)
        if run:
            yield run, True

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: index for index, piece in enumerate(self.vocabulary.pieces)}

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        return {pair: rank for rank, pair in enumerate(self.vocabulary.merges)}

    def _word(self, word: str, draws: Iterator[float]) -> list[int]:
        parts, ranks, dropped = list(word), self._ranks, self.probability
        while len(parts) > 1:
            candidates = [
                (rank, place)
                for place, pair in enumerate(pairwise(parts))
                if (rank := ranks.get(pair)) is not None and next(draws) >= dropped
            ]
            if not candidates:
                break
            _, place = min(candidates)
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        return [self._ids[part] for part in parts]


def _uniform(generator: np.random.Generator) -> Iterator[float]:
    while True:
        yield from generator.random(DRAWS).tolist()
