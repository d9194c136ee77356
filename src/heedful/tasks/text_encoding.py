"""From texts to the ids that `TokenInputs` reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from torch import Tensor

from heedful.data.cutting import Cutter
from heedful.data.lexicon import Lexicon, load_lexicons, save_lexicons
from heedful.data.vectors import VectorSizes
from heedful.models.encoders.inputs import UNKNOWN
from heedful.models.frequency import shares
from heedful.tasks.text_config import TextVocabulary
from heedful.tasks.token_encoding import TokenEncoder, TokenIds

VOCABULARY = "vocabulary.json"


@dataclass(frozen=True)
class TextVocabularies:
    """How texts are cut, the tokens and their characters, and the labels.

    >>> from heedful.tasks.text_config import TextVocabulary
    >>> config = TextVocabulary(min_frequency=1)
    >>> vocabularies = TextVocabularies.learn(config, ["Who is it?"], ["HUM"], longest=3)
    >>> vocabularies.tokens_of("Who is it?")
    ['Who', 'is', '?']
    """

    cutter: Cutter
    tokens: TokenEncoder
    labels: Lexicon
    """The label of number n is `labels.entries[n]`; none in regression."""
    longest: int

    @classmethod
    def learn(
        cls, config: TextVocabulary, texts: Sequence[str], labels: Iterable[str], *, longest: int
    ) -> Self:
        """Build them from training texts and their labels."""
        cutter = Cutter.learn(config.kind, texts, size=config.size, lowercase=config.lowercase)
        tokens = TokenEncoder.learn(
            (token for cut in cutter.cut_all(texts) for token in cut),
            min_frequency=config.min_frequency,
            size=config.size,
            lowercase=config.lowercase,
            longest_word=config.longest_word,
        )
        return cls(cutter, tokens, Lexicon.learn(labels), longest)

    @classmethod
    def load(cls, config: TextVocabulary, folder: Path, *, longest: int) -> Self:
        """Read those of a run folder."""
        names = ("words", "characters", "labels")
        words, characters, labels = load_lexicons(folder / VOCABULARY, names)
        vectors = VectorSizes.load(folder)
        tokens = TokenEncoder(words, characters, config.lowercase, config.longest_word, vectors)
        return cls(Cutter.load(config.kind, folder), tokens, labels, longest)

    def save(self, folder: Path) -> None:
        """Write them into a run folder."""
        self.cutter.save(folder)
        tokens = self.tokens
        lexicons = {"words": tokens.words, "characters": tokens.characters, "labels": self.labels}
        save_lexicons(folder / VOCABULARY, lexicons)
        if tokens.vectors is not None:
            tokens.vectors.save(folder)

    def tokens_of(self, text: str) -> list[str]:
        """Cut a text; of one that is too long the first and the last tokens are kept."""
        return self.all_tokens([text])[0]

    def all_tokens(self, texts: Sequence[str]) -> list[list[str]]:
        """As `tokens_of`, of many texts."""
        return [self._kept(tokens) for tokens in self.cutter.cut_all(texts)]

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the ids of each text's tokens."""
        return [self.tokens.encode(tokens) for tokens in self.all_tokens(texts)]

    def frequencies(self, texts: Sequence[str]) -> Tensor:
        """Return, for each id of a word, the share of the texts' tokens that it is.

        The unknown word has 0: of the words that it stands for each is rare.
        """
        counts = np.zeros(len(self.tokens.words), dtype=np.int64)
        for tokens in self.cutter.cut_all(texts):
            np.add.at(counts, np.asarray(self.tokens.encode(tokens).words, dtype=np.int64), 1)
        return shares(counts, UNKNOWN)

    def _kept(self, tokens: list[str]) -> list[str]:
        if len(tokens) <= self.longest:
            return tokens
        end = self.longest // 2
        return tokens[: self.longest - end] + tokens[-end:]
