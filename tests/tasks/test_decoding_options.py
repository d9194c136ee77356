"""Options of generation, as `Predictor.predict` takes them, with vocabularies of each kind."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from heedful.answers.text_base import Candidate, Generated
from heedful.decode import Hypothesis
from heedful.errors import DataError, OptionError
from heedful.tasks.alignment import encode_pair
from heedful.tasks.copying import copy_unknown
from heedful.tasks.predictor import Predictor
from heedful.tasks.scoring import perplexity, score_texts
from tests.tasks.test_translation import PAIRS, untrained

KINDS = ["bpe", "unigram", "word", "char"]
NO_LETTER_BEFORE, NO_LETTER_AFTER = r"(?<![^\W_])", r"(?![^\W_])"
SOURCES = ["Ein Hund rennt.", "Zwei Männer gehen.", "Ein Mann geht im Schnee."]


def texts(predictor: Predictor, **search: Any) -> list[str]:
    return [each.text for each in predictor.predict(SOURCES, **search)]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_begin_with_the_prefix(kind: str) -> None:
    predictor = untrained("gru", kind=kind)
    assert all(text.startswith("A man") for text in texts(predictor, prefix="A man"))
    own = texts(predictor, prefix=["A dog", "", "I"])
    free = texts(predictor)
    assert own[0].startswith("A dog")
    assert own[1] == free[1]
    assert own[2].startswith("I")


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_hold_what_is_required(kind: str) -> None:
    predictor = untrained("gru", kind=kind)
    assert all("in the snow" in text for text in texts(predictor, require=["in the snow"]))
    own = texts(predictor, require=[["dog", "Two"], [], ["walk"]], beam=2)
    assert own[1] == texts(predictor, beam=2)[1]
    for text, phrases in ((own[0], ["dog", "Two"]), (own[2], ["walk"])):
        for phrase in phrases:
            # characters may follow others, as their spaces are tokens of their own
            before = "" if kind == "char" else NO_LETTER_BEFORE
            assert re.search(before + phrase + NO_LETTER_AFTER, text.replace("⁇", "x"))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_do_not_hold_what_is_banned(kind: str) -> None:
    predictor = untrained("gru", kind=kind)
    search: dict[str, Any] = {"prefix": "A dog", "beam": 1, "max_length_ratio": 4.0}
    before = texts(predictor, **search)
    words = {word for text in before for word in re.findall(r"[a-zA-Z]+", text)} - {"A", "dog"}
    after = texts(predictor, **search, ban=sorted(words))
    assert words
    for text, earlier in zip(after, before, strict=True):
        for word in words:
            whole = NO_LETTER_BEFORE + word + NO_LETTER_AFTER
            assert not re.search(whole + "(?=.)", text)  # a text cut off may end within a word
        assert text != earlier or not words & set(re.findall(r"[a-zA-Z]+", earlier))


def test_phrases_that_the_vocabulary_cannot_write_are_refused() -> None:
    predictor = untrained("gru", kind="char")
    for name, value in (("prefix", "Ω"), ("require", ["Ω"])):
        with pytest.raises(OptionError, match=f"{name} holds the phrase 'Ω', which the vocabulary"):
            texts(predictor, **{name: value})
    for name in ("require", "ban"):
        with pytest.raises(OptionError, match=f"{name} is 'dog'; give a list of phrases"):
            texts(predictor, **{name: "dog"})
        with pytest.raises(OptionError, match=r"without words|has no words"):
            texts(predictor, **{name: [" "]})
    with pytest.raises(OptionError, match="prefix has 2 entries, but there are more inputs"):
        texts(predictor, prefix=["A", "I"])


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"temperature": 0.5}, "temperature has no effect on a search for the best output"),
        ({"sample": True, "top_p": 2.0}, "top_p must be above 0 and at most 1; got 2.0"),
        ({"sample": True, "nbest": 2000}, "nbest must be at least 1 and at most 1,000; got 2000"),
        ({"length_form": "gmnt"}, "unknown length_form 'gmnt'; did you mean 'gnmt'"),
        ({"min_length_ratio": 3.0}, "below max_length_ratio, which is at most 100; got 3 and 2"),
        ({"max_length_ratio": 1e3}, "at most 100; got 0 and 1000"),
        ({"bann": ["x"]}, "bann has no effect"),
    ],
)
def test_wrong_options_are_refused(search: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        untrained("gru").predict(SOURCES, **search)


def test_samples_are_many_and_repeatable() -> None:
    predictor = untrained("gru")
    search: dict[str, Any] = {"sample": True, "nbest": 8, "seed": 5}
    first = list(predictor.predict(SOURCES, **search))
    assert first == list(predictor.predict(SOURCES, **search))
    assert [len(each) for each in first] == [8, 8, 8]
    assert len({candidate.text for each in first for candidate in each}) > 12
    assert first[1:] == list(predictor.predict(SOURCES[1:], **search))
    assert first != list(predictor.predict(SOURCES, **search | {"seed": 6}))


def test_lengths_are_bounded_by_the_source() -> None:
    predictor = untrained("gru", kind="char")
    for source, found in zip(
        SOURCES, predictor.predict(SOURCES, min_length_ratio=1.5), strict=True
    ):
        assert len(found.candidates[0].tokens) >= 1.5 * len(source)
    short = texts(predictor, max_length_ratio=0.1)
    assert all(len(text) <= 13 for text in short)


def test_settings_of_the_run_and_of_the_call_agree() -> None:
    predictor = untrained("transformer")
    settings = {
        "length_form": "power",
        "coverage_penalty": 0.5,
        "no_repeat_ngram": 2,
        "length_penalty": 0.3,
    }
    by_call = list(predictor.predict(SOURCES, **settings))
    answer = predictor.answer
    decoding = answer.decoding.model_copy(update=settings)
    predictor.answer = replace(answer, decoding=decoding)
    assert list(predictor.predict(SOURCES)) == by_call
    assert by_call != list(predictor.predict(SOURCES, length_form="gnmt"))


def test_unknown_words_are_copied_from_what_they_attend_to(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = untrained("gru", kind="word", shared=False)
    unknown, known = predictor.answer.vocabulary.unk_id, 5
    source = "Ein Zebra rennt."
    weights = torch.tensor(
        [
            [
                [0.1, 0.8, 0.05, 0.05, 0.0],
                [0.7, 0.1, 0.1, 0.1, 0.0],
                [0.0, 0.0, 0.0, 0.1, 0.9],
                [0.1] * 5,
            ]
        ]
    )
    pieces = predictor.input.vocabulary.encode(source).pieces
    weights = weights[..., : len(pieces) + 1]

    class Aligned:
        def __init__(self, *_: Any) -> None:
            self.weights = weights

    monkeypatch.setattr("heedful.tasks.copying.align", Aligned)
    candidate = Candidate("", -1.0, (unknown, known, unknown))
    copied = copy_unknown(predictor, source, Generated((candidate,)))
    last = pieces[int(weights[0, 2, : len(pieces)].argmax())]
    word = predictor.answer.vocabulary.decode([known])
    wanted = " ".join(f"{pieces[1]} {word} {last}".replace("▁", " ").split())
    assert copied.text.replace(" ", "") == wanted.replace(" ", "")
    assert copied.text.startswith("Zebra ")
    plain = Generated((replace(candidate, tokens=(known,)),))
    assert copy_unknown(predictor, source, plain) == plain


def test_copying_is_an_option_of_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = untrained("transformer", kind="word", shared=False)
    unknown = predictor.answer.vocabulary.unk_id

    def found(_model: Any, source: Any, *_: Any, **__: Any) -> list[list[Hypothesis]]:
        return [[Hypothesis([unknown], -1.0)] for _ in source]

    monkeypatch.setattr("heedful.answers.text.beam_search", found)
    assert texts(predictor) == ["⁇"] * 3
    copied = texts(predictor, copy_unknown=True)
    for text, source in zip(copied, SOURCES, strict=True):
        assert text
        assert text in source


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_given_texts_are_scored(kind: str) -> None:
    predictor = untrained("transformer", kind=kind)
    scores = list(score_texts(predictor, zip(PAIRS.source, PAIRS.target, strict=True)))
    assert [each.tokens[-1] for each in scores] == ["<end>"] * 4
    assert all(len(each.tokens) == len(each.log_probabilities) for each in scores)
    assert all(value < 0 for each in scores for value in each.log_probabilities)
    tensors = encode_pair(predictor, PAIRS.source[2], PAIRS.target[2])
    with torch.no_grad():
        states = predictor.model.eval()(*tensors[:3]).states
        values = torch.log_softmax(predictor.model.output(states)[0], dim=-1)
    following = [*tensors.target[0, 1:].tolist(), predictor.answer.vocabulary.end_id]
    wanted = [float(row[token]) for row, token in zip(values, following, strict=True)]
    assert scores[2].log_probabilities == pytest.approx(wanted, rel=1e-4)
    mean = sum(each.log_probability for each in scores) / sum(len(each.tokens) for each in scores)
    assert perplexity(scores) == pytest.approx(math.exp(-mean))
    with pytest.raises(DataError, match="a source is blank"):
        list(score_texts(predictor, [(" ", "A")]))
