"""Plain text to label, split into sentences and tokens by a rule that uses the vocabulary of the training data."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import regex

from heedful.data.label_base import LabelFormat, Layout, Sentence
from heedful.data.words import LETTER, UNSPACED_START, canonical, starts_unspaced

Spans = list[tuple[int, int]]
"""(start, end) of each token in a text."""

_APOSTROPHES: Final = "'’"
_LETTER: Final = rf"(?:(?!_){LETTER})"
_PIECE = regex.compile(
    # An address; a number with its separators; letters with inner apostrophes, hyphens, dots and ampersands; a run
    # of a script without spaces; a run of one other grapheme cluster.
    r"https?://\S*[\w/]|www\.\S*[\w/]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|\d+(?:[.,:/]\d+)*{_LETTER}*"
    rf"|{_LETTER}+(?:[{_APOSTROPHES}.&-]{_LETTER}+)*"
    rf"|(?:{UNSPACED_START}\X)+"
    r"|(\X)\1*"
)
# A zero-width space marks a word boundary, as in Khmer and Thai.
_CHUNK = regex.compile(r"[^\s\u200b]+")
_CLUSTER = regex.compile(r"\X")
_INVISIBLE = regex.compile(r"\p{Cf}+")
_HYPHEN_PARTS = regex.compile(r"[^-]+|-")
_INITIAL = regex.compile(rf"{_LETTER}(?:\.{_LETTER})*")
_HYPHENATED = regex.compile(rf"{_LETTER}{{2,}}-{_LETTER}{{2,}}")
_ENDS: Final = frozenset(".!?…。！？")
_CLOSING: Final = frozenset("\"'”’»)]}」』）】")
_RARE: Final = 100
"""If fewer than one word in so many has a hyphen, hyphens are separate tokens."""


@dataclass(frozen=True)
class TokenRule:
    """Splits a text into tokens like the training data, as far as their vocabulary tells.

    A chunk between white space that is in the vocabulary is one token. Otherwise punctuation is split off, except
    the dot of an initial or of a word in the vocabulary, such as Mr.; clitics in the vocabulary ('s, n't, l') are
    split off; and hyphens, if almost no word of the vocabulary has one. Scripts without spaces are split into the
    longest words of the vocabulary, or else grapheme clusters. Words are compared in their canonical form.

    >>> rule = TokenRule.learn(["I", "ca", "n't", "go", "Mr."])
    >>> text = "I can't go, Mr. X."
    >>> [text[start:end] for start, end in rule.spans(text)]
    ['I', 'ca', "n't", 'go', ',', 'Mr.', 'X', '.']
    """

    words: frozenset[str]
    longest: int = 1
    """Length in characters of the longest word of a script without spaces."""
    splits_hyphens: bool = False

    @classmethod
    def learn(cls, words: Collection[str]) -> Self:
        """Learn the rule from a vocabulary."""
        unspaced = [len(word) for word in words if starts_unspaced(word)]
        hyphenated = sum(1 for word in words if _HYPHENATED.fullmatch(word))
        splits = "-" in words and hyphenated * _RARE < len(words)
        return cls(frozenset(words), max(unspaced, default=1), splits)

    def knows(self, token: str) -> bool:
        """Return whether a token, or its lower-case form, is in the vocabulary."""
        token = canonical(token)
        return token in self.words or canonical(token.lower()) in self.words

    def spans(self, text: str) -> Spans:
        """Return the (start, end) of each token of a text.

        >>> TokenRule.learn(["北京", "大学"]).spans("北京大学, OK")
        [(0, 2), (2, 4), (4, 5), (6, 8)]
        """
        spans: Spans = []
        for chunk in _CHUNK.finditer(text):
            start, end = chunk.span()
            if self.knows(chunk.group()) and self._clitic(chunk.group()) is None:
                spans.append((start, end))
                continue
            while start < end:
                piece = _PIECE.match(text, start, end)
                assert piece is not None, "any character begins a piece"
                stop = self._with_dot(text, start, piece.end(), end)
                spans += self._split_piece(text, start, stop)
                start = stop
        return [span for span in spans if not _INVISIBLE.fullmatch(text, *span)]

    def sentences(self, text: str) -> list[Spans]:
        """Return the token spans of each sentence of a text.

        A sentence ends after . ! ? … and closing marks, before white space that no lower-case letter follows; after
        。！？ even without white space.

        >>> [len(each) for each in TokenRule.learn(()).sentences("Who? I. Am e.g. here.")]
        [2, 2, 4]
        """
        sentences: list[Spans] = [[]]
        for span in self.spans(text):
            if sentences[-1] and _ends_sentence(text, sentences[-1], *span):
                sentences.append([])
            sentences[-1].append(span)
        return [sentence for sentence in sentences if sentence]

    def _with_dot(self, text: str, start: int, stop: int, end: int) -> int:
        """Return the end of a piece, including a dot that belongs to it."""
        if text[stop : min(stop + 1, end)] != "." or text[stop : stop + 2] == "..":
            return stop
        piece = text[start:stop]
        is_initial = (
            stop + 1 < len(text)
            and _INITIAL.fullmatch(piece) is not None
            and ((piece[0].isupper() and piece != "I") or "." in piece)
        )
        return stop + 1 if is_initial or self.knows(f"{piece}.") else stop

    def _split_piece(self, text: str, start: int, end: int) -> Spans:
        piece = text[start:end]
        if starts_unspaced(piece):
            return self._longest_words(text, start, end)
        if not piece[0].isalpha():
            return [(start, end)]
        cut = self._clitic(piece)
        if cut is not None:
            middle = start + cut
            return self._split_piece(text, start, middle) + self._split_piece(text, middle, end)
        if self.splits_hyphens and "-" in piece and not self.knows(piece):
            return [match.span() for match in _HYPHEN_PARTS.finditer(text, start, end)]
        return [(start, end)]

    def _clitic(self, piece: str) -> int | None:
        """Return the position at which a clitic is split off, or None."""
        for position in range(len(piece) - 1, 0, -1):
            if piece[position] not in _APOSTROPHES:
                continue
            ascii_piece = piece.replace("’", "'")
            for cut in (position - 1, position, position + 1):
                before, after = ascii_piece[:cut], ascii_piece[cut:]
                clitic = after if cut <= position else before
                if before and after and self.knows(clitic):
                    return cut
        return None

    def _longest_words(self, text: str, start: int, end: int) -> Spans:
        ends = [cluster.end() for cluster in _CLUSTER.finditer(text, start, end)]
        spans: Spans = []
        first = 0
        while first < len(ends):
            last = min(len(ends), first + self.longest) - 1
            while last > first and not self.knows(text[start : ends[last]]):
                last -= 1
            spans.append((start, ends[last]))
            start, first = ends[last], last + 1
        return spans


def _ends_sentence(text: str, sentence: Spans, start: int, end: int) -> bool:
    """Return whether a sentence ends before the token at (start, end)."""
    tokens = [text[first:last] for first, last in sentence]
    while len(tokens) > 1 and set(tokens[-1]) <= _CLOSING:
        tokens.pop()
    if not set(tokens[-1]) <= _ENDS or set(text[start:end]) <= _CLOSING | _ENDS:
        return False
    if tokens[-1][0] in "。！？":
        return True
    return text[sentence[-1][1]].isspace() and not text[start].islower()


class PlainText(LabelFormat):
    """Lines of text, each one or more sentences; written as columns, one token and its label per line."""

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
