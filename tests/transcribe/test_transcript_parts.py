"""Words of tokens, times of words, and error rates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from heedful.answers.transcript_metrics import NOTHING, score_transcripts
from heedful.answers.transcript_times import (
    Clock,
    words_by_attention,
    words_by_ctc,
    words_of_tokens,
)
from heedful.data.timings import TimedWord
from heedful.data.vocabulary import Vocabulary
from heedful.decode.ctc import LabelSpan
from heedful.errors import ShapeError

TEXTS = ["one two three", "two three four", "three two one"]


@pytest.mark.parametrize("kind", ["char", "word", "bpe", "unigram"])
@pytest.mark.parametrize("text", ["one two", " two  one ", "four", "seven one", ""])
def test_words_are_those_between_spaces(kind: str, text: str) -> None:
    vocabulary = Vocabulary.train(TEXTS, kind=kind, size=60)
    tokens = vocabulary.encode(text).ids
    words = words_of_tokens(vocabulary, tokens)
    assert [word.text for word in words] == vocabulary.decode(tokens).split()
    assert all(0 <= word.first <= word.last < len(tokens) for word in words)
    assert all(a.last < b.first for a, b in itertools.pairwise(words))
    reserved = [vocabulary.begin_id, *tokens, vocabulary.end_id, vocabulary.pad_id]
    assert [word.text for word in words_of_tokens(vocabulary, reserved)] == [w.text for w in words]


def test_a_word_is_from_its_first_to_its_last_token() -> None:
    vocabulary = Vocabulary.train(TEXTS, kind="char")
    tokens = vocabulary.encode("to o").ids
    spans = [
        LabelSpan(tokens[0], 2, 3, np.log(0.5)),
        LabelSpan(tokens[1], 5, 6, np.log(0.5)),
        LabelSpan(tokens[2], 6, 7, np.log(0.1)),
        LabelSpan(tokens[3], 9, 11, np.log(0.25)),
    ]
    assert words_by_ctc(vocabulary, tokens, spans) == (
        TimedWord("to", 2, 6, 0.5),
        TimedWord("o", 9, 11, 0.5),
    )
    weights = np.zeros((4, 12))
    weights[np.arange(4), [2, 5, 4, 10]] = 1
    # the third token looks back: it counts as where the second is
    assert words_by_attention(vocabulary, tokens, weights) == (
        TimedWord("to", 2.0, 5.5),
        TimedWord("o", 8.0, 11.0),
    )
    assert words_by_attention(vocabulary, [], weights) == ()


def test_the_clock_never_goes_before_the_recording() -> None:
    clock = Clock(start=-0.01, frame=0.01, stride=2)
    assert clock.word(TimedWord("a", 0, 1)) == TimedWord("a", 0.0, 0.01)
    assert clock.word(TimedWord("a", 1, 2), first=3) == TimedWord("a", 0.04, 0.06)


def test_error_rates_count_edits() -> None:
    scores = score_transcripts(
        ["one two", "", "three three four"], ["one too", "five", "three four four"]
    )
    words = scores.words
    assert (words.substitutions, words.insertions, words.deletions, words.length) == (2, 0, 1, 6)
    assert scores.wer == pytest.approx(3 / 6)
    assert scores.exact_match == 0
    assert {(c.reference, c.predicted): c.count for c in scores.confusions} == {
        ("too", "two"): 1,
        ("five", NOTHING): 1,
        ("four", "three"): 1,
    }
    assert scores.characters.length == len("one too") + len("five") + len("three four four")
    more = score_transcripts(["a b c"], ["b"])
    assert (more.words.insertions, more.wer) == (2, 2.0)
    assert [(c.reference, c.count) for c in more.confusions] == [(NOTHING, 1), (NOTHING, 1)]
    assert score_transcripts(["x"], ["x"]).wer == 0
    assert len(score_transcripts(["a b c"], ["d e f"], confusions=2).confusions) == 2


def test_lists_of_different_lengths_are_refused() -> None:
    for predicted, references in ((["a"], []), ([], []), (["a", "b"], ["a"])):
        with pytest.raises(ShapeError, match="expected equal numbers of at least 1"):
            score_transcripts(predicted, references)
