"""Source texts of an encoder–decoder, as ids of sub-word pieces, words or characters."""

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
from heedful.models.frequency import relative_frequencies

SOURCE_VOCABULARY: Final = "source_vocabulary.json"
ENCODING_CHUNK: Final = 10_000
"""Texts encoded at once."""


class TextVocabularyConfig(Section):
    """Tokenization of text."""

    kind: Annotated[str, OneOf("kind of vocabulary", LEARNERS)] = Field(
        "bpe", description='Token type: sub-words ("bpe", "unigram"), "word" or "char".'
    )
    size: int = Field(8000, ge=8, description="Maximum vocabulary size.")
    min_frequency: int = Field(
        2, ge=1, description="Minimum occurrences of a token (for bpe: of a merge)."
    )
    lowercase: bool = Field(False, description="Lower-case the texts.")

    def train(self, texts: Sequence[str]) -> Vocabulary:
        """Learn a vocabulary from training texts."""
        return Vocabulary.train(
            texts,
            kind=self.kind,
            size=self.size,
            min_frequency=self.min_frequency,
            lowercase=self.lowercase,
        )


class VocabularyConfig(TextVocabularyConfig):
    """Tokenization of text."""

    lowercase: bool = Field(False, description="Lower-case both languages.")
    shared: bool = Field(True, description="Share one vocabulary between both languages.")


class PieceBatch(NamedTuple):
    """Texts as ids, right-padded."""

    ids: Tensor
    """(batch, length), long."""
    lengths: Tensor
    """(batch,), long."""


@dataclass(frozen=True)
class Pieces(Input[str, Sequence[int]]):
    """Source texts as ids, each with an end token, which attention can use when no word is relevant.

    >>> pieces = Pieces(Vocabulary.train(["a b", "b"], kind="word", min_frequency=1))
    >>> [len(ids) for ids in pieces.encode(["a b a", " "])]
    [4, 0]
    """

    vocabulary: Vocabulary
    token_frequencies: Tensor | None = field(default=None, repr=False, compare=False)
    """(ids,), relative frequency of each token in the training texts; set only in training, if needed."""

    @classmethod
    def learn(cls, config: Any, examples: Sequence[str]) -> Self:
        return cls(config.vocabulary.train(examples))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(Vocabulary.load(folder / SOURCE_VOCABULARY))

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder / SOURCE_VOCABULARY)

    def encode(self, examples: Sequence[str]) -> list[Sequence[int]]:
        """Return the ids of each text as arrays (a quarter of the memory of lists); empty for a blank text."""
        end = self.vocabulary.end_id
        return [
            array("i", [*ids, end] if text.strip() else [])
            for text, ids in zip(examples, encode_in_chunks(self.vocabulary, examples), strict=True)
        ]

    def length(self, encoded: Sequence[int]) -> int:
        return len(encoded)

    def collate(self, encoded: Sequence[Sequence[int]]) -> PieceBatch:
        return PieceBatch(*pad_ids(encoded, self.vocabulary.pad_id))

    def sizes(self) -> dict[str, int]:
        return {"source vocabulary": len(self.vocabulary)}

    def positions(self, example: str) -> list[str]:
        return list(self.vocabulary.encode(example).pieces)

    def frequencies(self, texts: Sequence[str]) -> Tensor:
        """Return the relative frequency of each id in texts, (ids,); 0 for end and unknown tokens."""
        counts = np.zeros(len(self.vocabulary), dtype=np.int64)
        for ids in encode_in_chunks(self.vocabulary, texts):
            np.add.at(counts, np.asarray(ids, dtype=np.int64), 1)
        return relative_frequencies(counts, self.vocabulary.unk_id)


def encode_in_chunks(vocabulary: Vocabulary, texts: Sequence[str]) -> Iterator[list[int]]:
    """Lazily yield the ids of each text, without begin and end tokens."""
    for start in range(0, len(texts), ENCODING_CHUNK):
        yield from vocabulary.encode_ids(texts[start : start + ENCODING_CHUNK])
