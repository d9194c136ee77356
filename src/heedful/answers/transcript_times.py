"""When the words of a transcript are spoken, by CTC's best path or by attention, in positions of the encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.data.vocabulary import UNKNOWN_TEXT, Vocabulary
from heedful.data.words import SPACE_MARK
from heedful.decode.ctc import LabelSpan


class WordSpan(NamedTuple):
    """A word of a transcript and the positions in which it is spoken."""

    text: str
    start: float
    """In positions of the encoder; the first is from 0 to 1."""
    end: float
    confidence: float | None = None
    """By CTC: the geometric mean of the probabilities of its tokens, of each in its positions."""


class _TokenWord(NamedTuple):
    """A word and the index of its first and of its last token."""

    text: str
    first: int
    last: int


def words_of_tokens(vocabulary: Vocabulary, tokens: Sequence[int]) -> list[_TokenWord]:
    """Return the words between spaces, with their tokens; a token that is a space alone is in none.

    >>> vocabulary = Vocabulary.train(["ab c"], kind="char")
    >>> tokens = vocabulary.encode("ab c").ids
    >>> [tuple(word) for word in words_of_tokens(vocabulary, tokens)]
    [('ab', 0, 1), ('c', 3, 3)]
    """
    words: list[_TokenWord] = []
    inside = False
    for number, token in enumerate(tokens):
        text = UNKNOWN_TEXT if token == vocabulary.unk_id else vocabulary.pieces[token]
        for character in text:
            if character in (SPACE_MARK, " "):
                inside = False
            elif inside:
                words[-1] = _TokenWord(words[-1].text + character, words[-1].first, number)
            else:
                words.append(_TokenWord(character, number, number))
                inside = True
    return words


def words_by_ctc(
    vocabulary: Vocabulary, tokens: Sequence[int], spans: Sequence[LabelSpan]
) -> tuple[WordSpan, ...]:
    """Return the words with the positions of their tokens in an alignment of `heedful.decode.ctc.align_labels`."""
    words = []
    for word in words_of_tokens(vocabulary, tokens):
        own = spans[word.first : word.last + 1]
        positions = sum(span.end - span.start for span in own)
        confidence = math.exp(sum(span.log_probability for span in own) / positions)
        words.append(WordSpan(word.text, own[0].start, own[-1].end, confidence))
    return tuple(words)


def words_by_attention(
    vocabulary: Vocabulary, tokens: Sequence[int], weights: NDArray[np.float64]
) -> tuple[WordSpan, ...]:
    """Return the words with the positions that attention looked at.

    A token is at the position of its largest weight, or of the token before if that is later. A word is from the
    middle between its first token and the one before to the middle between its last token and the one after.

    Args:
        vocabulary: the vocabulary of the tokens.
        tokens: the tokens of the transcript.
        weights: (at least as many rows as tokens, positions); row i is of token i.

    >>> vocabulary = Vocabulary.train(["ab c"], kind="char")
    >>> tokens = vocabulary.encode("ab c").ids
    >>> [tuple(word[:3]) for word in words_by_attention(vocabulary, tokens, np.eye(8)[[1, 3, 4, 6]])]
    [('ab', 1.0, 4.0), ('c', 5.5, 7.0)]
    """
    if not len(tokens):
        return ()
    peaks = np.maximum.accumulate(weights[: len(tokens)].argmax(axis=1)) + 0.5
    middles = (peaks[1:] + peaks[:-1]) / 2
    edges = np.concatenate([[peaks[0] - 0.5], middles, [peaks[-1] + 0.5]])
    return tuple(
        WordSpan(word.text, float(edges[word.first]), float(edges[word.last + 1]))
        for word in words_of_tokens(vocabulary, tokens)
    )
