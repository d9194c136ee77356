"""Text as an input, tokenized into words, characters or sub-words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from heedful.data.lexicon import RESERVED
from heedful.data.preparation import in_chunks, report_chunks
from heedful.data.tokenization import TextTokenizer
from heedful.inputs.base import EmbeddedInput
from heedful.inputs.tokens import TokenIds, Tokens, drop_middle
from heedful.models.config import Section
from heedful.models.encoders.inputs import (
    UNKNOWN,
    Characters,
    TokenBatch,
    TokenInputs,
    TokenInputsConfig,
)
from heedful.models.frequency import FrequencyConfig, WordFrequency, relative_frequencies


class TextVocabulary(Section):
    """Tokenization, and the tokens that have an embedding."""

    kind: Literal["word", "space", "char", "bpe", "unigram"] = Field(
        "word",
        description="word: splits off punctuation, and each character of Chinese, Japanese and Thai; space: splits at "
        "spaces; char: grapheme clusters; bpe and unigram: sub-words learned from the training texts.",
    )
    min_frequency: int = Field(
        2,
        ge=1,
        description="Minimum occurrences; rarer tokens share the unknown embedding.",
    )
    size: int = Field(30_000, ge=6, description="Maximum tokens with an embedding.")
    lowercase: bool = Field(True, description="Lower-case tokens.")
    longest_word: int = Field(
        32, ge=2, description="Maximum characters; longer tokens lose the middle."
    )


class TextInputs(TokenInputsConfig):
    """Token features."""

    characters: Characters = Field(
        "none", description="Character encoder, the only features of unknown words."
    )
    word_dropout: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Probability of replacing a token by the unknown token in training.",
    )


@dataclass(frozen=True)
class Text(EmbeddedInput[str, TokenIds]):
    """Texts as tokens. Texts of more than `max_length` tokens lose the middle.

    Reads the sections vocabulary (`TextVocabulary`), inputs (`TextInputs`) and frequency, and data.max_length.

    >>> from heedful.tasks.classify import ClassifyConfig
    >>> config = ClassifyConfig.model_validate({"vocabulary": {"min_frequency": 1}, "data": {"max_length": 3}})
    >>> Text.learn(config, ["Who is it?"]).positions("Who is it?")
    ['Who', 'is', '?']
    """

    tokenizer: TextTokenizer
    tokens: Tokens
    max_length: int
    frequency_options: FrequencyConfig
    word_frequencies: Tensor
    """(words,), relative frequency of each word in the training texts."""

    @classmethod
    def learn(cls, config: Any, examples: Sequence[str]) -> Self:
        options = config.vocabulary
        tokenizer = TextTokenizer.learn(
            options.kind, examples, size=options.size, lowercase=options.lowercase
        )
        seen: Counter[str] = Counter()
        for chunk in report_chunks(in_chunks(examples), "counting tokens", "texts", len(examples)):
            seen.update(chain.from_iterable(tokenizer.tokenize_batch(chunk)))
        tokens = Tokens.of(seen, options, config.inputs)
        counts = np.zeros(len(tokens.words), dtype=np.int64)
        np.add.at(counts, tokens.encode_one(list(seen)).words, list(seen.values()))
        frequencies = relative_frequencies(counts, UNKNOWN)
        return cls(tokenizer, tokens, config.data.max_length, config.frequency, frequencies)

    def extend(self, initial: Self) -> Self:
        if initial.tokenizer.pieces is not None:
            return initial
        tokens = self.tokens.extend(initial.tokens)
        frequencies = torch.zeros(len(tokens.words))
        ids = tokens.words.ids(self.tokens.words.entries)
        frequencies[torch.tensor(ids)] = self.word_frequencies[RESERVED:]
        return replace(self, tokens=tokens, word_frequencies=frequencies)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        tokens = Tokens.load(config, folder)
        # The actual frequencies are loaded with the weights.
        frequencies = torch.zeros(len(tokens.words))
        tokenizer = TextTokenizer.load(config.vocabulary.kind, folder, rules=tokens.rules)
        return cls(tokenizer, tokens, config.data.max_length, config.frequency, frequencies)

    def save(self, folder: Path) -> None:
        self.tokenizer.save(folder)
        self.tokens.save(folder)

    def encode(self, examples: Sequence[str]) -> list[TokenIds]:
        encoded: list[TokenIds] = []
        for chunk in report_chunks(in_chunks(examples), "encoding", "texts", len(examples)):
            encoded += self.tokens.encode(self._tokenize(chunk))
        return encoded

    def length(self, encoded: TokenIds) -> int:
        return len(encoded.words)

    def collate(self, encoded: Sequence[TokenIds]) -> TokenBatch:
        return self.tokens.collate(encoded)

    def embedding(self) -> TokenInputs:
        return self.tokens.embedding()

    def frequency(self) -> WordFrequency:
        return WordFrequency(self.frequency_options, self.word_frequencies.clone())

    def sizes(self) -> dict[str, int]:
        return {"tokens": len(self.tokens.words.entries), **self.tokens.vector_counts()}

    def positions(self, example: str) -> list[str]:
        return self._tokenize([example])[0]

    @property
    def can_hide(self) -> bool:
        return True

    def hide(self, encoded: TokenIds, positions: Sequence[int]) -> TokenIds:
        """Return a text in which some tokens are unknown."""
        return self.tokens.hide(encoded, positions)

    def title(self, example: str) -> str:
        return " ".join(example.split())

    def _tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        tokenized = self.tokenizer.tokenize_batch(texts)
        return [drop_middle(tokens, self.max_length) for tokens in tokenized]
