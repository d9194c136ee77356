"""When the words of a transcript are spoken, by CTC's best path or by attention, in positions of the encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.data.timings import TimedWord
from heedful.data.vocabulary import Vocabulary
from heedful.data.words import SPACE_MARK
from heedful.decode.ctc import LabelSpan


class Clock(NamedTuple):
    """When the positions of the encoder are, in seconds.

    >>> Clock(start=0.0025, frame=0.01, stride=2).word(TimedWord("one", 1, 3))
    TimedWord(text='one', start=0.0225, end=0.0625, confidence=None)
    """

    start: float
    """When position 0 begins, in a recording of which no frames are cut off."""
    frame: float
    """Seconds from one frame to the next."""
    stride: int
    """Frames from one position to the next."""

    def word(self, word: TimedWord, first: int = 0) -> TimedWord:
        """Return a word from position `start` to `end`, in seconds.

        Args:
            word: its times are positions; the first position is from 0 to 1.
            first: frames that are cut off at the beginning of the recording.
        """
        start, end = (
            max(0.0, round(self.start + (first + time * self.stride) * self.frame, 4))
            for time in (word.start, word.end)
        )
        return word._replace(start=start, end=end)


FIRST_POSITION: Final = Clock(0.0, 1.0, 1)
"""The clock that leaves positions as they are."""


def clock_of(config: Any) -> Clock:
    """Return the clock of a configuration of recordings.

    A position is in the middle of the first of its frames.
    """
    framing, stride = config.data.framing(), math.prod(config.inputs.strides)
    frame = framing.centre(1) - framing.centre(0)
    return Clock(framing.centre(0) - stride * frame / 2, frame, stride)


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
        is_text = token not in (vocabulary.pad_id, vocabulary.begin_id, vocabulary.end_id)
        for character in vocabulary.pieces[token] if is_text else "":
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
) -> tuple[TimedWord, ...]:
    """Return the words with the positions of their tokens in an alignment of `heedful.decode.ctc.align_labels`.

    The confidence of a word is the geometric mean of the probabilities of its tokens, of each in its positions.
    """
    words = []
    for word in words_of_tokens(vocabulary, tokens):
        own = spans[word.first : word.last + 1]
        positions = sum(span.end - span.start for span in own)
        confidence = math.exp(sum(span.log_probability for span in own) / positions)
        words.append(TimedWord(word.text, own[0].start, own[-1].end, round(confidence, 4)))
    return tuple(words)


def words_by_attention(
    vocabulary: Vocabulary, tokens: Sequence[int], weights: NDArray[np.float64]
) -> tuple[TimedWord, ...]:
    """Return the words with the positions that attention looked at.

    A token is at the position of its largest weight, or of the token before if that is later. A word is from the
    middle between its first token and the one before to the middle between its last token and the one after.

    Args:
        vocabulary: the vocabulary of the tokens.
        tokens: the tokens of the transcript.
        weights: (at least as many rows as tokens, positions); row i is of token i.

    >>> vocabulary = Vocabulary.train(["ab c"], kind="char")
    >>> tokens = vocabulary.encode("ab c").ids
    >>> [word[:3] for word in words_by_attention(vocabulary, tokens, np.eye(8)[[1, 3, 4, 6]])]
    [('ab', 1.0, 4.0), ('c', 5.5, 7.0)]
    """
    if not len(tokens):
        return ()
    peaks = np.maximum.accumulate(weights[: len(tokens)].argmax(axis=1)) + 0.5
    middles = (peaks[1:] + peaks[:-1]) / 2
    edges = np.concatenate([[peaks[0] - 0.5], middles, [peaks[-1] + 0.5]])
    return tuple(
        TimedWord(word.text, float(edges[word.first]), float(edges[word.last + 1]))
        for word in words_of_tokens(vocabulary, tokens)
    )
