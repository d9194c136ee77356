"""A text as ids, and which of its words each id belongs to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.data.words import SPACE_MARK, word_spans


@dataclass(frozen=True)
class Encoding:
    """A text as ids, with what each id stands for. All lists have one entry a piece."""

    ids: list[int]
    pieces: list[str]
    """The stretch of text of each piece, "▁" for a space; of an unknown piece, too, the text itself."""
    words: list[int]
    """The index, in `Vocabulary.words(text)`, of the (first) word of each piece; -1: of none."""
    last_words: list[int]
    """The last word of each piece: another than the first where a piece spans several characters of a
    script written without spaces, each of which is a word."""

    def __len__(self) -> int:
        return len(self.ids)


def traced(text: str, ids: list[int], offsets: Sequence[tuple[int, int]]) -> Encoding:
    """Say which words the pieces at `offsets` of a text (spaces marked) belong to.

    >>> traced("▁a▁bc", [7, 8, 9], [(0, 2), (2, 4), (4, 5)]).words
    [0, 1, 1]
    """
    ends = [end for _, end in word_spans(text.replace(SPACE_MARK, " "))]
    final = len(ends) - 1
    words, last_words = [], []
    for start, end in offsets:
        if start == end or not ends:
            words.append(-1)
            last_words.append(-1)
        else:
            words.append(min(bisect_right(ends, start), final))
            last_words.append(min(bisect_right(ends, end - 1), final))
    return Encoding(ids, [text[start:end] for start, end in offsets], words, last_words)
