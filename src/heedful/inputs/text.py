"""Text as an input: cut into words, characters or sub-words, which are read as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from heedful.data.tokenization import TextTokenizer
from heedful.inputs.base import EmbeddedInput
from heedful.inputs.tokens import TokenIds, Tokens
from heedful.models.config import Section
from heedful.models.encoders.inputs import (
    UNKNOWN,
    Characters,
    TokenBatch,
    TokenInputs,
    TokenInputsConfig,
)
from heedful.models.frequency import FrequencyConfig, WordFrequency, shares


class TextVocabulary(Section):
    """What a token is, and which get an embedding of their own."""

    kind: Literal["word", "space", "char", "bpe", "unigram"] = Field(
        "word",
        description="word: punctuation apart, each character of Chinese, Japanese or Thai a word; space: what "
        "stands between spaces; char: grapheme clusters; bpe and unigram: sub-words learned from the training texts.",
    )
    min_frequency: int = Field(
        2,
        ge=1,
        description="A token must occur this often; others share the unknown one's embedding.",
    )
    size: int = Field(30_000, ge=6, description="Most tokens that get an embedding.")
    lowercase: bool = Field(True, description="Tokens in lower case.")
    longest_word: int = Field(
        32, ge=2, description="Of a longer token, the first and the last characters are read."
    )


class TextInputs(TokenInputsConfig):
    """How a token becomes features."""

    characters: Characters = Field(
        "none", description="How a token's characters are read; unknown words live by it."
    )
    word_dropout: float = Field(
        0.05, ge=0, lt=1, description="Share of tokens that training takes for unknown ones."
    )


@dataclass(frozen=True)
class Text(EmbeddedInput[str, TokenIds]):
    """Texts as tokens. Of a text of more than `longest` tokens the first and the last ones are read.

    >>> from heedful.tasks.classify import ClassifyConfig
    >>> config = ClassifyConfig.model_validate({"vocabulary": {"min_frequency": 1}, "data": {"max_length": 3}})
    >>> Text.learn(config, ["Who is it?"]).positions("Who is it?")
    ['Who', 'is', '?']
    """

    cutter: TextTokenizer
    tokens: Tokens
    longest: int
    frequency_options: FrequencyConfig
    word_shares: Tensor
    """(words,), the share of the training tokens that each word is."""

    @classmethod
    def learn(cls, config: Any, examples: Sequence[str]) -> Self:
        options = config.vocabulary
        cutter = TextTokenizer.learn(
            options.kind, examples, size=options.size, lowercase=options.lowercase
        )
        cut = cutter.tokenize_batch(examples)
        tokens = Tokens.of((token for each in cut for token in each), options, config.inputs)
        counts = np.zeros(len(tokens.words), dtype=np.int64)
        for each in cut:
            np.add.at(counts, np.asarray(tokens.encode_one(each).words, dtype=np.int64), 1)
        found = shares(counts, UNKNOWN)
        return cls(cutter, tokens, config.data.max_length, config.frequency, found)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        tokens = Tokens.load(config, folder)
        # the shares come with the weights
        found = torch.zeros(len(tokens.words))
        cutter = TextTokenizer.load(config.vocabulary.kind, folder, rules=tokens.rules)
        return cls(cutter, tokens, config.data.max_length, config.frequency, found)

    def save(self, folder: Path) -> None:
        self.cutter.save(folder)
        self.tokens.save(folder)

    def encode(self, examples: Sequence[str]) -> list[TokenIds]:
        return self.tokens.encode(self._cut(examples))

    def length(self, encoded: TokenIds) -> int:
        return len(encoded.words)

    def collate(self, encoded: Sequence[TokenIds]) -> TokenBatch:
        return self.tokens.collate(encoded)

    def embedding(self) -> TokenInputs:
        return self.tokens.embedding()

    def frequency(self) -> WordFrequency:
        return WordFrequency(self.frequency_options, self.word_shares.clone())

    def sizes(self) -> dict[str, int]:
        return {"tokens": len(self.tokens.words.entries), **self.tokens.vector_counts()}

    def positions(self, example: str) -> list[str]:
        return self._cut([example])[0]

    def title(self, example: str) -> str:
        return " ".join(example.split())

    def _cut(self, texts: Sequence[str]) -> list[list[str]]:
        return [self._shortened(tokens) for tokens in self.cutter.tokenize_batch(texts)]

    def _shortened(self, tokens: list[str]) -> list[str]:
        if len(tokens) <= self.longest:
            return tokens
        end = self.longest // 2
        return tokens[: self.longest - end] + tokens[-end:]
