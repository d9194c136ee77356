"""Source texts of an encoder–decoder, as ids of sub-word pieces, words or characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from heedful.data.batching import pad_ids
from heedful.data.bpe_dropout import BpeDropout
from heedful.data.packed_ids import Ids, PackedIds
from heedful.data.packed_texts import select_texts
from heedful.data.preparation import in_chunks, report_chunks
from heedful.data.vocabulary import Vocabulary
from heedful.data.vocabulary_training import LEARNERS
from heedful.errors import OptionError
from heedful.inputs.base import Input, Lengths
from heedful.models.config import OneOf, Section
from heedful.models.frequency import relative_frequencies

SOURCE_VOCABULARY: Final = "source_vocabulary.json"


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
    sample: int = Field(
        1_000_000,
        ge=1,
        description="Maximum training texts or pairs that the vocabulary is learned from; of more, a random sample.",
    )

    def train(self, *texts: Sequence[str]) -> Vocabulary:
        """Learn one vocabulary from training texts: of one language, or of both, line by line of equal number."""
        rows = sample_rows(len(texts[0]), self.sample)
        return Vocabulary.train(
            chain.from_iterable(
                each if rows is None else select_texts(each, rows) for each in texts
            ),
            kind=self.kind,
            size=self.size,
            min_frequency=self.min_frequency,
            lowercase=self.lowercase,
        )


def sample_rows(count: int, size: int) -> NDArray[np.int64] | None:
    """Choose `size` of `count` rows at random, always the same ones, in increasing order; None: all rows.

    >>> sample_rows(5, 5), len(sample_rows(5, 3))
    (None, 3)
    """
    if count <= size:
        return None
    return np.sort(np.random.default_rng(0).choice(count, size, replace=False, shuffle=False))


class VocabularyConfig(TextVocabularyConfig):
    """Tokenization of text."""

    lowercase: bool = Field(False, description="Lower-case both languages.")
    shared: bool = Field(True, description="Share one vocabulary between both languages.")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="BPE-dropout: in training the probability of leaving a merge out, so that words are divided into "
        "pieces in other ways each epoch; 0: never.",
    )

    @model_validator(mode="after")
    def _merges_are_dropped(self) -> Self:
        if self.dropout and self.kind != "bpe":
            raise OptionError(
                f"vocabulary.dropout leaves out merges of byte-pair encoding, but vocabulary.kind is {self.kind!r}; "
                "set vocabulary.kind to 'bpe', or vocabulary.dropout to 0"
            )
        return self


class PieceBatch(NamedTuple):
    """Texts as ids, right-padded."""

    ids: Tensor
    """(batch, length), long."""
    lengths: Tensor
    """(batch,), long."""


class SpelledText(NamedTuple):
    """The pieces that a source is read as, without the end token, and the words that they belong to."""

    pieces: tuple[str, ...]
    word_ids: tuple[int, ...]
    """The index in `words` of the first word of each piece."""
    words: tuple[str, ...]


@dataclass(frozen=True)
class Pieces(Input[str, Ids]):
    """Source texts as ids, each with an end token, which attention can use when no word is relevant.

    >>> pieces = Pieces(Vocabulary.train(["a b", "b"], kind="word", min_frequency=1))
    >>> [len(ids) for ids in pieces.encode(["a b a", " "])]
    [4, 0]
    """

    vocabulary: Vocabulary
    token_frequencies: Tensor | None = field(default=None, repr=False, compare=False)
    """(ids,), relative frequency of each token in the training texts; set only in training, if needed."""

    dropout: BpeDropout | None = None
    """What divides training texts anew in each epoch."""

    @classmethod
    def learn(cls, config: Any, examples: Sequence[str]) -> Self:
        return cls.of(config, config.vocabulary.train(examples))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls.of(config, Vocabulary.load(folder / SOURCE_VOCABULARY))

    @classmethod
    def of(cls, config: Any, vocabulary: Vocabulary) -> Self:
        """Build the input from a vocabulary, such as one shared with the target."""
        return cls(vocabulary, dropout=BpeDropout.of(config, vocabulary))

    def augmentation(self) -> Callable[[Ids, np.random.Generator], Ids] | None:
        return None if self.dropout is None else self.dropout.divide

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder / SOURCE_VOCABULARY)

    def encode(self, examples: Sequence[str]) -> PackedIds:
        """Return the ids of each text; none for a blank text."""
        end = self.vocabulary.end_id

        def with_end(texts: Sequence[str], ids: Sequence[list[int]]) -> list[list[int]]:
            pairs = zip(texts, ids, strict=True)
            return [[*each, end] if text.strip() else [] for text, each in pairs]

        return pack_texts(self.vocabulary, examples, with_end)

    def length(self, encoded: Ids) -> int:
        return len(encoded)

    def lengths(self, encoded: Sequence[Ids]) -> Lengths:
        return encoded.lengths() if isinstance(encoded, PackedIds) else super().lengths(encoded)

    def collate(self, encoded: Sequence[Ids]) -> PieceBatch:
        return PieceBatch(*pad_ids(encoded, self.vocabulary.pad_id))

    @classmethod
    def notices(cls, config: Any, examples: int) -> list[str]:
        sample: int = config.vocabulary.sample
        if examples <= sample:
            return []
        return [
            f"the vocabulary is learned from a random sample of {sample:,} of {examples:,} training pairs; to use "
            "more, set vocabulary.sample"
        ]

    def sizes(self) -> dict[str, int]:
        return {"source vocabulary": len(self.vocabulary)}

    def positions(self, example: str) -> list[str]:
        return list(self.vocabulary.encode(example).pieces)

    @property
    def can_hide(self) -> bool:
        return True

    def hide(self, encoded: Ids, positions: Sequence[int]) -> Ids:
        """Return a text in which some pieces are unknown."""
        ids = encoded.copy()
        ids[list(positions)] = self.vocabulary.unk_id
        return ids

    def title(self, example: str) -> str:
        return example

    def spelled(self, example: str) -> SpelledText:
        """Return the pieces of a text, and the words they belong to."""
        encoding = self.vocabulary.encode(example)
        words = tuple(self.vocabulary.words(example))
        return SpelledText(tuple(encoding.pieces), tuple(encoding.word_ids), words)

    def frequencies(self, texts: Sequence[str]) -> Tensor:
        """Return the relative frequency of each id in texts, (ids,); 0 for end and unknown tokens."""
        counts = np.zeros(len(self.vocabulary), dtype=np.int64)
        for chunk in report_chunks(in_chunks(texts), "counting tokens", "texts", len(texts)):
            ids = chain.from_iterable(self.vocabulary.encode_ids(chunk))
            counts += np.bincount(np.fromiter(ids, np.int64), minlength=len(counts))
        return relative_frequencies(counts, self.vocabulary.unk_id)


def pack_texts(
    vocabulary: Vocabulary,
    texts: Sequence[str],
    complete: Callable[[Sequence[str], Sequence[list[int]]], list[list[int]]],
) -> PackedIds:
    """Encode texts into packed ids.

    Args:
        vocabulary: gives the ids of a text, without begin and end tokens.
        texts: read once, in order.
        complete: (some texts, their ids) -> their ids with begin and end tokens.
    """
    chunks = report_chunks(in_chunks(texts), "encoding", "texts", len(texts))
    encoded = (complete(chunk, vocabulary.encode_ids(chunk)) for chunk in chunks)
    return PackedIds.of(encoded, len(vocabulary))
