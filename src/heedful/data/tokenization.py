"""Tokenization of text into words, characters, or subwords learned from the training texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import regex

from heedful.data.vocabulary import Vocabulary
from heedful.data.words import (
    EXTENDERS,
    LETTER,
    RULES,
    SPACE_MARK,
    UNSPACED_START,
    graphemes,
    normalise,
)

WORD: Final = "word"
SPACE: Final = "space"
CHARACTER: Final = "char"
PIECES: Final = "pieces.json"
"""The file of a run folder that holds the subword vocabulary."""

# Word boundaries of UAX #29, with these changes: a grapheme cluster of a script without spaces is a word, hyphens join
# words and colons do not, an apostrophe before a word belongs to it, and equal symbols form one token.
_HEBREW = r"\p{WB=Hebrew_Letter}"
_JOINER = (
    r"['’.\-\u2010\u2011]|(?![:\uff1a\ufe13\ufe55])\p{WB=MidLetter}"
    rf'|(?<=\p{{Nd}})\p{{WB=MidNum}}(?=\p{{Nd}})|(?<={_HEBREW}{EXTENDERS}*)"(?={_HEBREW})'
)
WORD_PATTERN: Final = rf"{UNSPACED_START}\X|['’]?(?:{LETTER})+(?:(?:{_JOINER}){EXTENDERS}*(?:{LETTER})+)*|(?!\s)(\X)\1*"
_WORDS = regex.compile(WORD_PATTERN)
ZERO_WIDTH_SPACE: Final = "\u200b"

# Version 1: `\w` is no combining mark, so words of many scripts fall apart.
_OLD_UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9d\U00020000-\U0003fffd\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ede\u1000-\u109f\u1780-\u17d3"
)
_OLD_LETTERS = rf"(?:(?![{_OLD_UNSPACED}])\w)+"
_OLD_WORDS = re.compile(
    rf"[{_OLD_UNSPACED}][\u0300-\u036f\u3099\u309a\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*"
    rf"|['’]?{_OLD_LETTERS}(?:['’.\-]{_OLD_LETTERS})*|([^\w\s])\1*"
)


@dataclass(frozen=True)
class TextTokenizer:
    """Splits texts into tokens.

    `kind` is "word" (punctuation separate; each character of Chinese, Japanese or Thai is a word), "space"
    (split at white space), "char" (grapheme clusters), or "bpe" and "unigram" (subwords of the vocabulary `pieces`).
    `rules` is the version of the rules, see `heedful.data.words.RULES`.

    >>> TextTokenizer("word").tokenize("It's 他用iPhone, isn't it?")
    ["It's", '他', '用', 'iPhone', ',', "isn't", 'it', '?']
    >>> TextTokenizer("char").tokenize("a b")
    ['a', '▁', 'b']
    """

    kind: str
    pieces: Vocabulary | None = None
    rules: int = RULES

    @classmethod
    def learn(cls, kind: str, texts: Iterable[str], *, size: int, lowercase: bool) -> Self:
        """Create a tokenizer; for "bpe" and "unigram" learn a subword vocabulary from `texts`.

        Raises: see `Vocabulary.train`.
        """
        if kind in (WORD, SPACE, CHARACTER):
            return cls(kind)
        return cls(kind, Vocabulary.train(texts, kind=kind, size=size, lowercase=lowercase))

    @classmethod
    def load(cls, kind: str, folder: Path, *, rules: int = RULES) -> Self:
        """Load a tokenizer from a run folder that was written by this version of the rules.

        Raises: RunError for a subword vocabulary that is missing or damaged.
        """
        if kind in (WORD, SPACE, CHARACTER):
            return cls(kind, rules=rules)
        return cls(kind, Vocabulary.load(folder / PIECES), rules)

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
        if self.rules == 1:
            return [self._old_tokens(normalise(text, rules=1)) for text in texts]
        if self.kind == CHARACTER:
            return [graphemes(normalise(text).replace(" ", SPACE_MARK)) for text in texts]
        # Khmer and others mark the ends of words by it
        normalised = [normalise(text.replace(ZERO_WIDTH_SPACE, " ")) for text in texts]
        if self.kind == SPACE:
            return [text.split() for text in normalised]
        return [[match.group() for match in _WORDS.finditer(text)] for text in normalised]

    def _old_tokens(self, text: str) -> list[str]:
        if self.kind == WORD:
            return [match.group() for match in _OLD_WORDS.finditer(text)]
        return text.split() if self.kind == SPACE else list(text.replace(" ", SPACE_MARK))
