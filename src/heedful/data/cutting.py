"""How a text is cut into tokens: words, characters, or sub-words learned from the training texts."""

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

_LETTERS = rf"(?:(?![{UNSPACED}])\w)+"
_WORDS = re.compile(
    # a character of a script without spaces, with its marks; a word, inner apostrophes and hyphens kept;
    # a run of one sign
    rf"[{UNSPACED}][\u0300-\u036f\u3099\u309a\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*"
    rf"|['’]?{_LETTERS}(?:['’.\-]{_LETTERS})*|([^\w\s])\1*"
)


@dataclass(frozen=True)
class Cutter:
    """Cuts texts into tokens.

    `kind` is "word" (punctuation apart; each character of Chinese, Japanese or Thai is a word), "space" (what
    stands between spaces), "char", or "bpe" and "unigram", whose pieces `pieces` knows.

    >>> Cutter("word").cut("It's 他用iPhone, isn't it?")
    ["It's", '他', '用', 'iPhone', ',', "isn't", 'it', '?']
    >>> Cutter("char").cut("a b")
    ['a', '▁', 'b']
    """

    kind: str
    pieces: Vocabulary | None = None

    @classmethod
    def learn(cls, kind: str, texts: Iterable[str], *, size: int, lowercase: bool) -> Self:
        """Learn sub-words from training texts, where the kind wants them."""
        if kind in (WORD, SPACE, CHARACTER):
            return cls(kind)
        return cls(kind, Vocabulary.train(texts, kind=kind, size=size, lowercase=lowercase))

    @classmethod
    def load(cls, kind: str, folder: Path) -> Self:
        """Read the cutter of a run folder."""
        if kind in (WORD, SPACE, CHARACTER):
            return cls(kind)
        return cls(kind, Vocabulary.load(folder / PIECES))

    def save(self, folder: Path) -> None:
        """Write the sub-words, if there are any, into a run folder."""
        if self.pieces is not None:
            self.pieces.save(folder / PIECES)

    def cut(self, text: str) -> list[str]:
        """Return the tokens of a text; none of an empty one."""
        return self.cut_all([text])[0]

    def cut_all(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the tokens of each text; sub-words of many texts are looked up on all cores."""
        if self.pieces is not None:
            names = self.pieces.pieces
            return [[names[number] for number in ids] for ids in self.pieces.encode_ids(texts)]
        clean = [normalise(text) for text in texts]
        if self.kind == WORD:
            return [[found.group() for found in _WORDS.finditer(text)] for text in clean]
        if self.kind == SPACE:
            return [text.split() for text in clean]
        return [list(text.replace(" ", "▁")) for text in clean]
