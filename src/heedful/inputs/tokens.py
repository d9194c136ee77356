"""Tokens as an input: words and their characters, with or without pre-trained vectors."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from heedful.data.batching import pad_ids
from heedful.data.lexicon import VOCABULARY, Lexicon, load_lexicons, load_rules, save_lexicons
from heedful.data.vectors import VectorSizes, read_vectors
from heedful.data.words import RULES, canonical
from heedful.inputs.base import EmbeddedInput
from heedful.models.config import Section
from heedful.models.encoders.inputs import (
    UNKNOWN,
    TokenBatch,
    TokenInputs,
    TokenInputsConfig,
    VectorTable,
)


class TokenVocabulary(Section):
    """Which words and characters get an embedding of their own."""

    min_frequency: int = Field(
        2, ge=1, description="A word must occur this often; others share the unknown word's."
    )
    size: int = Field(100_000, ge=1, description="Most words that get an embedding.")
    lowercase: bool = Field(
        True, description="Words in lower case; characters are always read as they are written."
    )
    longest_word: int = Field(
        32, ge=2, description="Of a longer word, the first and the last characters are read."
    )


class TokenIds(NamedTuple):
    """One encoded sentence."""

    words: Sequence[int]
    forms: Sequence[int]
    """Numbers of its distinct spellings in the encoder's memory."""


@dataclass(frozen=True)
class Tokens(EmbeddedInput[Sequence[str], TokenIds]):
    """Words and characters of tokens. A spelling is turned into character ids once and then looked up.

    Tokens that are canonically equal are the same word (`heedful.data.words.canonical`).

    >>> tokens = Tokens.of(["The", "the", "dog"], TokenVocabulary(min_frequency=1))
    >>> batch = tokens.collate(tokens.encode([["the", "cat"], ["the"]]))
    >>> batch.words.tolist(), batch.characters.shape
    ([[2, 1], [2, 0]], torch.Size([2, 3]))
    """

    words: Lexicon
    characters: Lexicon
    options: TokenVocabulary = field(default_factory=TokenVocabulary)
    features: TokenInputsConfig = field(default_factory=TokenInputsConfig)
    """How a token becomes features."""
    vectors: VectorSizes | None = None
    """Sizes of the pre-trained vectors that words have beside, or instead of, a learned embedding."""
    vector_values: Tensor | None = field(default=None, repr=False, compare=False)
    """(words, width), while training: a run keeps them with its weights."""
    rules: int = RULES
    """Version of the rules that the words were learned by; version 1 took tokens as they were written."""
    _numbers: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    _spelt: list[array[int]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Sequence[str]]) -> Self:
        seen = [token for tokens in examples for token in tokens]
        return cls.of(seen, config.vocabulary, config.inputs)

    @classmethod
    def of(
        cls, seen: Iterable[str], options: Any, features: TokenInputsConfig | None = None
    ) -> Self:
        """Take the words of the training tokens that occur often enough, every character, and their vectors.

        Args:
            seen: the training tokens, any number of times each.
            options: a `TokenVocabulary`, or another section with its fields.
            features: names the file of pre-trained vectors, if there is one.

        Raises: DataError for a file of vectors that cannot be used, by file and line.
        """
        read = [canonical(token) for token in seen]
        words = [token.lower() for token in read] if options.lowercase else read
        found = cls(
            Lexicon.learn(words, min_frequency=options.min_frequency, size=options.size),
            Lexicon.learn(character for token in read for character in token),
            options,
            TokenInputsConfig() if features is None else features,
        )
        return found._with_vectors(set(words)) if found.features.vectors else found

    def _with_vectors(self, seen: set[str]) -> Self:
        """Add the words that have a vector but no embedding, and a vector for each id: zero where there is none."""
        read = read_vectors(
            self.features.vectors,
            seen,
            others=self.features.vectors_unseen,
            lowercase=self.options.lowercase,
        )
        added = tuple(word for word in read.words if word not in self.words)
        lexicon = Lexicon((*self.words.entries, *added))
        values = torch.zeros(len(lexicon), read.values.shape[1])
        values[torch.tensor(lexicon.ids(read.words))] = torch.from_numpy(read.values)
        found = sum(word in seen for word in read.words)
        sizes = VectorSizes(
            width=values.shape[1],
            learned=len(self.words),
            found=found,
            missing=len(seen) - found,
        )
        return replace(self, words=lexicon, vectors=sizes, vector_values=values)

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
        forms = array("i", (self._number(token) for token in tokens))
        return TokenIds(array("i", self.words.ids(words)), forms)

    def length(self, encoded: TokenIds) -> int:
        return len(encoded.words)

    def collate(self, encoded: Sequence[TokenIds]) -> TokenBatch:
        """Pad sentences into a batch in which each distinct spelling stands once."""
        words, lengths = pad_ids([each.words for each in encoded], 0)
        distinct, rows = np.unique(
            np.concatenate([np.asarray(each.forms) for each in encoded]), return_inverse=True
        )
        forms = torch.zeros_like(words)
        real = torch.arange(words.shape[1]) < lengths[:, None]
        forms[real] = torch.from_numpy(rows)
        spelt = [self._spelt[number] for number in distinct.tolist()]
        characters, character_lengths = pad_ids(spelt, 0)
        return TokenBatch(words, lengths, forms, characters, character_lengths)

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
        """Count the training words that have a vector and those that have none, for people."""
        if self.vectors is None:
            return {}
        return {
            "words with a vector": self.vectors.found,
            "words without": self.vectors.missing,
        }

    def positions(self, example: Sequence[str]) -> list[str]:
        return list(example)

    def known(self, examples: Sequence[Sequence[str]]) -> list[list[bool]]:
        return [[number > UNKNOWN for number in each.words] for each in self.encode(examples)]

    def _number(self, token: str) -> int:
        """Return the number of a spelling; a new one is turned into character ids."""
        number = self._numbers.get(token)
        if number is None:
            number = self._numbers[token] = len(self._spelt)
            kept, longest = token, self.options.longest_word
            if len(token) > longest:
                end = longest // 2
                kept = token[: longest - end] + token[-end:]
            # the reader needs at least one character: a token without any is one unknown character
            self._spelt.append(array("i", self.characters.ids(kept) or [1]))
        return number
