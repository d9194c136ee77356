from __future__ import annotations

from collections import Counter

import pytest

from heedful.data.builtin import saw
from heedful.errors import OptionError

CORPUS = saw.build(train_size=3000, valid_size=300, test_size=300, farthest=8)
TEST = list(zip(CORPUS.test.sentences, CORPUS.test_distances, strict=True))


def test_sizes_are_as_asked_and_nothing_of_the_test_was_seen() -> None:
    parts = [
        {sentence.tokens for sentence in part.sentences}
        for part in (CORPUS.train, CORPUS.valid, CORPUS.test)
    ]
    assert [len(part) for part in parts] == [3000, 300, 300]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert "validation and test are in no training" in CORPUS.description


def test_the_seed_decides_everything() -> None:
    sizes = {"train_size": 50, "valid_size": 5, "test_size": 5}
    assert saw.build(3, **sizes) == saw.build(3, **sizes)
    assert saw.build(3, **sizes).test != saw.build(4, **sizes).test


@pytest.mark.parametrize("word", [word for word in saw.BOTH if word != "can"])
def test_each_word_is_noun_as_often_as_verb(word: str) -> None:
    labels = Counter(
        label
        for sentence in CORPUS.train.sentences
        for token, label in zip(sentence.tokens, sentence.labels, strict=True)
        if token == word
    )
    assert labels.keys() == {"NOUN", "VERB"}
    assert 0.3 < labels["NOUN"] / labels.total() < 0.7


def test_all_words_of_two_labels_say_what_decides_them_and_no_others() -> None:
    labels: dict[str, set[str]] = {}
    for sentence in CORPUS.train.sentences:
        for token, label in zip(sentence.tokens, sentence.labels, strict=True):
            labels.setdefault(token, set()).add(label)
    for sentence, distances in TEST:
        for token, distance in zip(sentence.tokens, distances, strict=True):
            assert (distance is None) == (len(labels[token]) == 1)


def test_the_word_that_decides_is_there_and_up_to_the_farthest() -> None:
    seen = set()
    for sentence, distances in TEST:
        for place, distance in enumerate(distances):
            if distance is not None:
                assert 0 <= place + distance < len(sentence.tokens)
                assert sentence.labels[place + distance] not in {"ADV", "PUNCT"} or distance > 0
                seen.add(abs(distance))
    assert max(seen) == 8


def test_the_same_surroundings_never_have_two_labels() -> None:
    answers: dict[tuple[str, ...], tuple[str, ...]] = {}
    for part in (CORPUS.train, CORPUS.valid, CORPUS.test):
        for sentence in part.sentences:
            assert answers.setdefault(sentence.tokens, sentence.labels) == sentence.labels


def test_sentences_that_the_tutorials_tell_of() -> None:
    made = {" ".join(sentence.tokens): sentence.labels for sentence in CORPUS.train.sentences}
    patterns = {
        ("PRON", "VERB", "DET", "NOUN", "PUNCT"),
        ("PRON", "AUX", "VERB", "PUNCT"),
        ("DET", "NOUN", "VERB", "DET", "NOUN", "PUNCT"),
        ("DET", "ADJ", "NOUN", "VERB", "DET", "NOUN", "PUNCT"),
    }
    assert patterns <= set(made.values())


@pytest.mark.parametrize("wrong", [{"train_size": 0}, {"test_size": 0}, {"farthest": 1}])
def test_sizes_that_do_not_work(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="do not work"):
        saw.build(**wrong)


def test_more_sentences_than_the_grammar_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saw, "PATTERNS", (saw._can,))
    with pytest.raises(OptionError, match="distinct sentences were generated"):
        saw.build(train_size=2_000, valid_size=1, test_size=1, farthest=2)
