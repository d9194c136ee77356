"""A text encoded as subword ids, and the word that each id belongs to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.data.words import SPACE_MARK, word_spans


@dataclass(frozen=True)
class Encoding:
    """An encoded text. All lists have one entry per piece (subword)."""

    ids: list[int]
    pieces: list[str]
    """The substring of each piece, with "▁" for a space; also of an unknown piece."""
    word_ids: list[int]
    """The index in `Vocabulary.words(text)` of the first word of each piece; -1 for none."""
    last_word_ids: list[int]
    """The index of the last word of each piece. It differs from the first where a piece spans several
    characters of a script written without spaces, each of which is a word."""

    def __len__(self) -> int:
        return len(self.ids)


def align_to_words(text: str, ids: list[int], offsets: Sequence[tuple[int, int]]) -> Encoding:
    """Build the encoding of a text, with the words that its pieces belong to.

    Args:
        text: the text, with "▁" for each space.
        ids: the id of each piece.
        offsets: the (start, end) of each piece in `text`.

    >>> align_to_words("▁a▁bc", [7, 8, 9], [(0, 2), (2, 4), (4, 5)]).word_ids
    [0, 1, 1]
    """
    ends = [end for _, end in word_spans(text.replace(SPACE_MARK, " "))]
    final = len(ends) - 1
    word_ids, last_word_ids = [], []
    for start, end in offsets:
        if start == end or not ends:
            word_ids.append(-1)
            last_word_ids.append(-1)
        else:
            word_ids.append(min(bisect_right(ends, start), final))
            last_word_ids.append(min(bisect_right(ends, end - 1), final))
    return Encoding(ids, [text[start:end] for start, end in offsets], word_ids, last_word_ids)
