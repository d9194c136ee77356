"""Pieces as an input: the source texts of an encoder–decoder, as ids of one vocabulary."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Self

import numpy as np
from pydantic import Field
from torch import Tensor

from heedful.data.batching import pad_ids
from heedful.data.vocabulary import Vocabulary
from heedful.data.vocabulary_training import LEARNERS
from heedful.inputs.base import Input
from heedful.models.config import OneOf, Section
from heedful.models.frequency import shares

SOURCE_VOCABULARY: Final = "source_vocabulary.json"
EXAMPLES_AT_ONCE: Final = 10_000


class VocabularyConfig(Section):
    """How text is cut into tokens."""

    kind: Annotated[str, OneOf("kind of vocabulary", LEARNERS)] = Field(
        "bpe", description='Sub-words ("bpe", "unigram"), "word" or "char".'
    )
    size: int = Field(8000, ge=8, description="Most entries that a vocabulary may have.")
    min_frequency: int = Field(
        2, ge=1, description="A token (for bpe: a merge) must occur this often to get an entry."
    )
    lowercase: bool = Field(False, description="Turn both languages into lower case.")
    shared: bool = Field(
        True, description="One vocabulary for both languages; false makes one for each."
    )

    def train(self, texts: Sequence[str]) -> Vocabulary:
        """Learn a vocabulary from training texts."""
        return Vocabulary.train(
            texts,
            kind=self.kind,
            size=self.size,
            min_frequency=self.min_frequency,
            lowercase=self.lowercase,
        )


class PieceBatch(NamedTuple):
    """Texts as ids, padded on the right."""

    ids: Tensor
    """(batch, length), long."""
    lengths: Tensor
    """(batch,), long."""


@dataclass(frozen=True)
class Pieces(Input[str, Sequence[int]]):
    """Source texts as ids, each with the end token: attention can look there when no word matters.

    >>> pieces = Pieces(Vocabulary.train(["a b", "b"], kind="word", min_frequency=1))
    >>> [len(ids) for ids in pieces.encode(["a b a", " "])]
    [4, 0]
    """

    vocabulary: Vocabulary
    token_shares: Tensor | None = field(default=None, repr=False, compare=False)
    """(entries,), the share of the training tokens that each is, while a model that needs it is trained."""

    @classmethod
    def learn(cls, config: Any, examples: Sequence[str]) -> Self:
        return cls(config.vocabulary.train(examples))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(Vocabulary.load(folder / SOURCE_VOCABULARY))

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder / SOURCE_VOCABULARY)

    def encode(self, examples: Sequence[str]) -> list[Sequence[int]]:
        """Return the ids of each text, in arrays (a quarter of the memory of lists); none of a blank text."""
        end = self.vocabulary.end_id
        return [
            array("i", [*ids, end] if text.strip() else [])
            for text, ids in zip(examples, encoded_in_parts(self.vocabulary, examples), strict=True)
        ]

    def length(self, encoded: Sequence[int]) -> int:
        return len(encoded)

    def collate(self, encoded: Sequence[Sequence[int]]) -> PieceBatch:
        return PieceBatch(*pad_ids(encoded, self.vocabulary.pad_id))

    def sizes(self) -> dict[str, int]:
        return {"source vocabulary": len(self.vocabulary)}

    def positions(self, example: str) -> list[str]:
        return list(self.vocabulary.encode(example).pieces)

    def shares(self, texts: Sequence[str]) -> Tensor:
        """Return, for each id, its share of the tokens of the texts: (entries,).

        The end token has 0, and so has the unknown one: of the words that it stands for each is rare.
        """
        counts = np.zeros(len(self.vocabulary), dtype=np.int64)
        for ids in encoded_in_parts(self.vocabulary, texts):
            np.add.at(counts, np.asarray(ids, dtype=np.int64), 1)
        return shares(counts, self.vocabulary.unk_id)


def encoded_in_parts(vocabulary: Vocabulary, texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the ids of each text, without begin and end; a part of the texts is encoded at a time."""
    for start in range(0, len(texts), EXAMPLES_AT_ONCE):
        yield from vocabulary.encode_ids(texts[start : start + EXAMPLES_AT_ONCE])
