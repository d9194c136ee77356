"""From tokens to the ids that `TokenInputs` reads."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import torch

from heedful.data.batching import pad_ids
from heedful.data.lexicon import Lexicon
from heedful.data.vectors import VectorSizes
from heedful.models.encoders.inputs import TokenBatch, VectorTable


class TokenIds(NamedTuple):
    """One sentence."""

    words: Sequence[int]
    forms: Sequence[int]
    """Numbers of its distinct spellings in the encoder's memory."""


@dataclass(frozen=True)
class TokenEncoder:
    """Words and characters of tokens; a spelling that was met once is looked up, not spelt out again.

    >>> encoder = TokenEncoder.learn(["The", "the", "dog"], min_frequency=1, lowercase=True)
    >>> batch = encoder.collate([encoder.encode(["the", "cat"]), encoder.encode(["the"])])
    >>> batch.words.tolist(), batch.characters.shape
    ([[2, 1], [2, 0]], torch.Size([2, 3]))
    """

    words: Lexicon
    characters: Lexicon
    lowercase: bool = True
    longest_word: int = 32
    vectors: VectorSizes | None = None
    """Of the pre-trained vectors that words have beside, or instead of, a learned embedding."""
    _numbers: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    _spelt: list[array[int]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def learn(
        cls,
        tokens: Iterable[str],
        *,
        min_frequency: int,
        size: int | None = None,
        lowercase: bool = True,
        longest_word: int = 32,
    ) -> Self:
        """Take the words that occur often enough, and every character."""
        read = list(tokens)
        words = (token.lower() if lowercase else token for token in read)
        characters = Lexicon.learn(character for token in read for character in token)
        return cls(
            Lexicon.learn(words, min_frequency=min_frequency, size=size),
            characters,
            lowercase,
            longest_word,
        )

    @property
    def table(self) -> VectorTable | None:
        """How large the model's table of pre-trained vectors is."""
        found = self.vectors
        return None if found is None else VectorTable(found.width, found.learned)

    def encode(self, tokens: Sequence[str]) -> TokenIds:
        """Encode one sentence."""
        words = (token.lower() for token in tokens) if self.lowercase else iter(tokens)
        forms = array("i", (self._number(token) for token in tokens))
        return TokenIds(array("i", self.words.ids(words)), forms)

    def collate(self, sentences: Sequence[TokenIds]) -> TokenBatch:
        """Pad sentences into a batch in which each distinct spelling stands once."""
        words, lengths = pad_ids([each.words for each in sentences], 0)
        distinct, rows = np.unique(
            np.concatenate([np.asarray(each.forms) for each in sentences]), return_inverse=True
        )
        forms = torch.zeros_like(words)
        real = torch.arange(words.shape[1]) < lengths[:, None]
        forms[real] = torch.from_numpy(rows)
        spelt = [self._spelt[number] for number in distinct.tolist()]
        characters, character_lengths = pad_ids(spelt, 0)
        return TokenBatch(words, lengths, forms, characters, character_lengths)

    def _number(self, token: str) -> int:
        """Return the number of a spelling, and remember one that is new."""
        number = self._numbers.get(token)
        if number is None:
            number = self._numbers[token] = len(self._spelt)
            kept = token
            if len(token) > self.longest_word:
                end = self.longest_word // 2
                kept = token[: self.longest_word - end] + token[-end:]
            # a token without characters is spelt as one unknown one: a reader wants something to read
            self._spelt.append(array("i", self.characters.ids(kept) or [1]))
        return number
