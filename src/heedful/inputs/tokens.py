"""Tokens as an input: word ids, character ids and optional pre-trained word vectors."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from heedful.data.batching import pad_ids
from heedful.data.lexicon import VOCABULARY, Lexicon, load_lexicons, load_rules, save_lexicons
from heedful.data.vectors import VectorSizes, read_vectors
from heedful.data.words import RULES, canonical
from heedful.errors import OptionError
from heedful.inputs.base import EmbeddedInput
from heedful.models.config import Section
from heedful.models.encoders.inputs import (
    UNKNOWN,
    TokenBatch,
    TokenInputs,
    TokenInputsConfig,
    VectorTable,
)

Units = TypeVar("Units", str, list[str])


class TokenVocabulary(Section):
    """Words and characters that have an embedding."""

    min_frequency: int = Field(
        2, ge=1, description="Minimum occurrences; rarer words share the unknown embedding."
    )
    size: int = Field(100_000, ge=1, description="Maximum words with an embedding.")
    lowercase: bool = Field(True, description="Lower-case words; characters keep their case.")
    longest_word: int = Field(
        32, ge=2, description="Maximum characters; longer words lose the middle."
    )


class TokenIds(NamedTuple):
    """One encoded sentence."""

    words: Sequence[int]
    spelling_ids: Sequence[int]
    """For each token, the index of its spelling in the cache of `Tokens`."""


@dataclass(frozen=True)
class Tokens(EmbeddedInput[Sequence[str], TokenIds]):
    """Encodes tokens as word ids and character ids; the character ids of each spelling are cached.

    Tokens that are canonically equal are the same word (`heedful.data.words.canonical`).
    Reads the sections vocabulary (`TokenVocabulary`) and inputs (`TokenInputsConfig`).

    >>> tokens = Tokens.of(["The", "the", "dog"], TokenVocabulary(min_frequency=1))
    >>> batch = tokens.collate(tokens.encode([["the", "cat"], ["the"]]))
    >>> batch.words.tolist(), batch.characters.shape
    ([[2, 1], [2, 0]], torch.Size([2, 3]))
    """

    words: Lexicon
    characters: Lexicon
    options: TokenVocabulary = field(default_factory=TokenVocabulary)
    features: TokenInputsConfig = field(default_factory=TokenInputsConfig)
    """Token features."""
    vectors: VectorSizes | None = None
    """Sizes of the pre-trained vectors; None without vectors."""
    vector_values: Tensor | None = field(default=None, repr=False, compare=False)
    """(words, width); set only in training, since a run stores the vectors among its weights."""
    rules: int = RULES
    """Version of the rules that the words were learned by; version 1 took tokens as they were written."""
    _spelling_ids: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    _characters: list[array[int]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Sequence[str]]) -> Self:
        return cls.of(chain.from_iterable(examples), config.vocabulary, config.inputs)

    @classmethod
    def of(
        cls,
        seen: Iterable[str] | Counter[str],
        options: Any,
        features: TokenInputsConfig | None = None,
    ) -> Self:
        """Learn words and characters from training tokens, and load the vectors of the words.

        Args:
            seen: the training tokens, with repetitions, or how often each occurs.
            options: a `TokenVocabulary`, or another section with its fields.
            features: the token features; `vectors` names the file of pre-trained vectors.

        Raises: DataError naming file and line, for an invalid file of vectors.
        """
        tokens, words, characters = Counter[str](), Counter[str](), Counter[str]()
        for each, count in Counter(seen).items():
            token = canonical(each)
            tokens[token] += count
            words[token.lower() if options.lowercase else token] += count
        for token, count in tokens.items():
            for character in token:
                characters[character] += count
        learned = cls(
            Lexicon.learn(words, min_frequency=options.min_frequency, size=options.size),
            Lexicon.learn(characters),
            options,
            TokenInputsConfig() if features is None else features,
        )
        return learned._with_vectors(set(words)) if learned.features.vectors else learned

    def _with_vectors(self, seen: set[str]) -> Self:
        """Add words that have a vector but no embedding, and a vector (zeros if missing) for each id."""
        vectors = read_vectors(
            self.features.vectors,
            seen,
            others=self.features.vectors_unseen,
            lowercase=self.options.lowercase,
        )
        added = tuple(word for word in vectors.words if word not in self.words)
        lexicon = Lexicon((*self.words.entries, *added))
        values = torch.zeros(len(lexicon), vectors.values.shape[1])
        values[torch.tensor(lexicon.ids(vectors.words))] = torch.from_numpy(vectors.values)
        found = sum(word in seen for word in vectors.words)
        sizes = VectorSizes(
            width=values.shape[1],
            learned=len(self.words),
            found=found,
            missing=len(seen) - found,
        )
        return replace(self, words=lexicon, vectors=sizes, vector_values=values)

    def extend(self, initial: Self) -> Self:
        """Add new words and characters to those of `initial`; none if it has vectors, which new words may lack.

        Raises: OptionError for vectors that `initial` was trained without.
        """
        if initial.vectors is not None:
            return initial
        if self.vectors is not None:
            raise OptionError(
                "inputs.vectors: the initial run was trained without pre-trained vectors, which cannot be added; leave "
                "them out, or train a new run"
            )
        return replace(
            self,
            words=initial.words.union(self.words),
            characters=initial.characters.union(self.characters),
            rules=initial.rules,
            _spelling_ids={},
            _characters=[],
        )

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        words, characters = load_lexicons(folder / VOCABULARY, ("words", "characters"))
        return cls(
            words,
            characters,
            config.vocabulary,
            config.inputs,
            VectorSizes.load(folder),
            rules=load_rules(folder / VOCABULARY),
        )

    def save(self, folder: Path) -> None:
        lexicons = {"words": self.words, "characters": self.characters}
        save_lexicons(folder / VOCABULARY, lexicons, rules=self.rules)
        if self.vectors is not None:
            self.vectors.save(folder)

    def encode(self, examples: Sequence[Sequence[str]]) -> list[TokenIds]:
        return [self.encode_one(tokens) for tokens in examples]

    def encode_one(self, tokens: Sequence[str]) -> TokenIds:
        """Encode one sentence."""
        if self.rules > 1:
            tokens = [canonical(token) for token in tokens]
        words = (token.lower() for token in tokens) if self.options.lowercase else iter(tokens)
        spelling_ids = array("i", map(self._spelling_id, tokens))
        return TokenIds(array("i", self.words.ids(words)), spelling_ids)

    def length(self, encoded: TokenIds) -> int:
        return len(encoded.words)

    def collate(self, encoded: Sequence[TokenIds]) -> TokenBatch:
        """Pad sentences into a batch that has each distinct spelling once."""
        words, lengths = pad_ids([each.words for each in encoded], 0)
        distinct, rows = np.unique(
            np.concatenate([np.asarray(each.spelling_ids) for each in encoded]), return_inverse=True
        )
        spelling_ids = torch.zeros_like(words)
        real = torch.arange(words.shape[1]) < lengths[:, None]
        spelling_ids[real] = torch.from_numpy(rows)
        spellings = [self._characters[index] for index in distinct.tolist()]
        return TokenBatch(words, lengths, spelling_ids, *pad_ids(spellings, 0))

    def embedding(self) -> TokenInputs:
        sizes = self.vectors
        table = None if sizes is None else VectorTable(sizes.width, sizes.learned)
        module = TokenInputs(self.features, len(self.words), len(self.characters), table)
        if self.vector_values is not None:
            module.set_vectors(self.vector_values)
        return module

    def sizes(self) -> dict[str, int]:
        return {
            "words": len(self.words.entries),
            "characters": len(self.characters.entries),
            **self.vector_counts(),
        }

    def vector_counts(self) -> dict[str, int]:
        """Return the numbers of training words with and without a vector, for display."""
        if self.vectors is None:
            return {}
        return {
            "words with a vector": self.vectors.found,
            "words without": self.vectors.missing,
        }

    def positions(self, example: Sequence[str]) -> list[str]:
        return list(example)

    @property
    def can_hide(self) -> bool:
        return True

    def hide(self, encoded: TokenIds, positions: Sequence[int]) -> TokenIds:
        """Return a sentence in which some tokens are unknown, and so are their characters."""
        words, spelling_ids = array("i", encoded.words), array("i", encoded.spelling_ids)
        for position in positions:
            words[position], spelling_ids[position] = UNKNOWN, self._spelling_id("")
        return TokenIds(words, spelling_ids)

    def in_vocabulary(self, examples: Sequence[Sequence[str]]) -> list[list[bool]]:
        return [[word_id > UNKNOWN for word_id in each.words] for each in self.encode(examples)]

    def _spelling_id(self, token: str) -> int:
        """Return the index of a spelling in the cache; a new one is encoded and added."""
        spelling_id = self._spelling_ids.get(token)
        if spelling_id is None:
            spelling_id = self._spelling_ids[token] = len(self._characters)
            # Character encoders need at least one character; an empty token becomes an unknown one.
            ids = self.characters.ids(drop_middle(token, self.options.longest_word)) or [UNKNOWN]
            self._characters.append(array("i", ids))
        return spelling_id


def drop_middle(items: Units, length: int) -> Units:
    """Shorten a string or list to its first and last items, `length` in total.

    >>> drop_middle("attention", 5)
    'atton'
    """
    if len(items) <= length:
        return items
    end = length // 2
    return items[: length - end] + items[-end:]
