"""Tokenization of text into words, characters, or subwords learned from the training texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from heedful.data.vocabulary import Vocabulary
from heedful.data.words import UNSPACED, normalise

WORD: Final = "word"
SPACE: Final = "space"
CHARACTER: Final = "char"
PIECES: Final = "pieces.json"
"""The file of a run folder that holds the subword vocabulary."""

_LETTERS = rf"(?:(?![{UNSPACED}])\w)+"
_WORDS = re.compile(
    # One character of a script without spaces, with its combining marks; or a word, including inner
    # apostrophes, dots and hyphens; or a run of one punctuation character.
    rf"[{UNSPACED}][\u0300-\u036f\u3099\u309a\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*"
    rf"|['’]?{_LETTERS}(?:['’.\-]{_LETTERS})*|([^\w\s])\1*"
)


@dataclass(frozen=True)
class TextTokenizer:
    """Splits texts into tokens.

    `kind` is "word" (punctuation separate; each character of Chinese, Japanese or Thai is a word), "space"
    (split at white space), "char", or "bpe" and "unigram" (subwords of the vocabulary `pieces`).

    >>> TextTokenizer("word").tokenize("It's 他用iPhone, isn't it?")
    ["It's", '他', '用', 'iPhone', ',', "isn't", 'it', '?']
    >>> TextTokenizer("char").tokenize("a b")
    ['a', '▁', 'b']
    """

    kind: str
    pieces: Vocabulary | None = None

    @classmethod
    def learn(cls, kind: str, texts: Iterable[str], *, size: int, lowercase: bool) -> Self:
        """Create a tokenizer; for "bpe" and "unigram" learn a subword vocabulary from `texts`.

        Raises: see `Vocabulary.train`.
        """
        if kind in (WORD, SPACE, CHARACTER):
            return cls(kind)
        return cls(kind, Vocabulary.train(texts, kind=kind, size=size, lowercase=lowercase))

    @classmethod
    def load(cls, kind: str, folder: Path) -> Self:
        """Load a tokenizer from a run folder.

        Raises: RunError for a subword vocabulary that is missing or damaged.
        """
        if kind in (WORD, SPACE, CHARACTER):
            return cls(kind)
        return cls(kind, Vocabulary.load(folder / PIECES))

    def save(self, folder: Path) -> None:
        """Write the subword vocabulary, if any, into a run folder."""
        if self.pieces is not None:
            self.pieces.save(folder / PIECES)

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of a text; an empty text has none."""
        return self.tokenize_batch([text])[0]

    def tokenize_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the tokens of each text; subwords are encoded on all cores."""
        if self.pieces is not None:
            pieces = self.pieces.pieces
            return [[pieces[index] for index in ids] for ids in self.pieces.encode_ids(texts)]
        normalised = [normalise(text) for text in texts]
        if self.kind == WORD:
            return [[match.group() for match in _WORDS.finditer(text)] for text in normalised]
        if self.kind == SPACE:
            return [text.split() for text in normalised]
        return [list(text.replace(" ", "▁")) for text in normalised]
