"""Plain text to label: split into sentences and tokens by a rule that knows the words of the training."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from heedful.data.label_base import LabelFormat, Layout, Sentence
from heedful.data.words import UNSPACED

Spans = list[tuple[int, int]]
"""For each token its (start, end) in a text."""

_APOSTROPHES: Final = "'’"
_LETTERS: Final = rf"(?:(?![{UNSPACED}_])\w)"
_PIECE = re.compile(
    # An address; a number with its separators; letters with inner apostrophes, hyphens, dots and ampersands; a run
    # of a script without spaces; a run of one other character.
    rf"https?://\S*[\w/]|www\.\S*[\w/]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|\d+(?:[.,:/]\d+)*{_LETTERS}*"
    rf"|{_LETTERS}+(?:[{_APOSTROPHES}.&-]{_LETTERS}+)*"
    rf"|[{UNSPACED}]+"
    r"|(\S)\1*"
)
_UNSPACED = re.compile(f"[{UNSPACED}]")
_INITIAL = re.compile(rf"{_LETTERS}(?:\.{_LETTERS})*")
_HYPHENATED = re.compile(rf"{_LETTERS}{{2,}}-{_LETTERS}{{2,}}")
_ENDS: Final = frozenset(".!?…。！？")
_CLOSING: Final = frozenset("\"'”’»)]}」』）】")
_RARE: Final = 100
"""Words for each that has a hyphen, from which on hyphens are taken to be tokens of their own."""


@dataclass(frozen=True)
class TokenRule:
    """Splits a text as the training data were split, as far as the words of the training tell.

    Parts between white space that are words of the training stay whole. Of others, punctuation is split off,
    but for the dot of an initial or of a word of the training, such as Mr.; clitics that are words of the
    training ('s, n't, l') are split off, and words with a hyphen where next to no word of the training has one.
    Of scripts without spaces the longest word of the training comes next, or else one character.

    >>> rule = TokenRule.learn(["I", "ca", "n't", "go", "Mr."])
    >>> text = "I can't go, Mr. X."
    >>> [text[start:end] for start, end in rule.spans(text)]
    ['I', 'ca', "n't", 'go', ',', 'Mr.', 'X', '.']
    """

    words: frozenset[str]
    longest: int = 1
    """Characters of the longest word in a script without spaces."""
    splits_hyphens: bool = False

    @classmethod
    def learn(cls, words: Collection[str]) -> Self:
        """Learn the rule from the words of the training."""
        unspaced = [len(word) for word in words if _UNSPACED.match(word)]
        hyphenated = sum(1 for word in words if _HYPHENATED.fullmatch(word))
        splits = "-" in words and hyphenated * _RARE < len(words)
        return cls(frozenset(words), max(unspaced, default=1), splits)

    def knows(self, token: str) -> bool:
        """Return whether a token is a word of the training."""
        return token in self.words or token.lower() in self.words

    def spans(self, text: str) -> Spans:
        """Return the (start, end) of each token of a text.

        >>> TokenRule.learn(["北京", "大学"]).spans("北京大学, OK")
        [(0, 2), (2, 4), (4, 5), (6, 8)]
        """
        found: Spans = []
        for part in re.finditer(r"\S+", text):
            start, end = part.span()
            if self.knows(part.group()) and self._clitic(part.group()) is None:
                found.append((start, end))
                continue
            while start < end:
                piece = _PIECE.match(text, start, end)
                assert piece is not None, "a piece is any character that is no space"
                stop = self._with_dot(text, start, piece.end(), end)
                found += self._inside(text, start, stop)
                start = stop
        return found

    def sentences(self, text: str) -> list[Spans]:
        """Return the tokens of each sentence of a text: one ends with . ! ? … and closing marks, before white space.

        A dot before a lower-case letter ends none; after 。！？ there need be no white space.

        >>> [len(each) for each in TokenRule.learn(()).sentences("Who? I. Am e.g. here.")]
        [2, 2, 4]
        """
        found: list[Spans] = [[]]
        spans = self.spans(text)
        for number, (start, end) in enumerate(spans):
            found[-1].append((start, end))
            last = number + 1 == len(spans)
            if not last and _ends_sentence(text, found[-1], *spans[number + 1]):
                found.append([])
        return [each for each in found if each]

    def _with_dot(self, text: str, start: int, stop: int, end: int) -> int:
        """Return where a piece ends, with the dot after it if that belongs to it."""
        if text[stop : min(stop + 1, end)] != "." or text[stop : stop + 2] == "..":
            return stop
        piece = text[start:stop]
        known = self.knows(f"{piece}.")
        initial = stop + 1 < len(text) and _INITIAL.fullmatch(piece) is not None
        initial = initial and ((piece[0].isupper() and piece != "I") or "." in piece)
        return stop + 1 if known or initial else stop

    def _inside(self, text: str, start: int, end: int) -> Spans:
        """Split one piece into tokens."""
        piece = text[start:end]
        if _UNSPACED.match(piece):
            return self._longest_words(text, start, end)
        cut = self._clitic(piece) if piece[0].isalpha() else None
        if cut is None and (self.knows(piece) or not piece[0].isalpha()):
            return [(start, end)]
        if cut is None and self.splits_hyphens and "-" in piece:
            bounds = [match.span() for match in re.finditer(r"[^-]+|-", piece)]
            return [(start + first, start + last) for first, last in bounds]
        if cut is None:
            return [(start, end)]
        return self._inside(text, start, start + cut) + self._inside(text, start + cut, end)

    def _clitic(self, piece: str) -> int | None:
        """Return where a clitic is split off; None: nowhere."""
        for position in range(len(piece) - 1, 0, -1):
            if piece[position] not in _APOSTROPHES:
                continue
            plain = piece.replace("’", "'")
            for cut in (position - 1, position, position + 1):
                before, after = plain[:cut], plain[cut:]
                clitic = after if cut <= position else before
                if before and after and self.knows(clitic):
                    return cut
        return None

    def _longest_words(self, text: str, start: int, end: int) -> Spans:
        found: Spans = []
        while start < end:
            stop = min(end, start + self.longest)
            while stop > start + 1 and text[start:stop] not in self.words:
                stop -= 1
            found.append((start, stop))
            start = stop
        return found


def _ends_sentence(text: str, sentence: Spans, start: int, end: int) -> bool:
    """Return whether a sentence ends before the token at (start, end)."""
    kept = [text[first:last] for first, last in sentence]
    while len(kept) > 1 and set(kept[-1]) <= _CLOSING:
        kept.pop()
    if not set(kept[-1]) <= _ENDS or set(text[start:end]) <= _CLOSING | _ENDS:
        return False
    if kept[-1][0] in "。！？":
        return True
    return text[sentence[-1][1]].isspace() and not text[start].islower()


class PlainText(LabelFormat):
    """Lines of text; each is one sentence or several. Written as columns: a token and its label a line."""

    name = "text"

    def __init__(self, rule: TokenRule):
        super().__init__()
        self.rule = rule

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        for number, line in enumerate(lines, start=1):
            for spans in self.rule.sentences(line):
                tokens = tuple(line[start:end] for start, end in spans)
                rows = (0,) * len(tokens)
                yield Sentence(tokens, (), (line,), rows, path, number, offsets=tuple(spans))

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        return [f"{token}\t{label}" for token, label in zip(sentence.tokens, labels, strict=True)]

    def layout(self) -> Layout:
        return Layout(format=self.name)
