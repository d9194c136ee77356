"""The corpus `answers`: its first words follow two words and their order, and no part asks what another asks."""

from __future__ import annotations

import pytest

from claims.answers import opening
from heedful.data.builtin import load_builtin_dialogues
from heedful.data.builtin.answers import AFTER, BEFORE, FORMS, STATES, TIMES, build, opening_at
from heedful.data.dialogue.replies import read_replies
from heedful.data.dialogue.turns import Dialogue
from heedful.data.vocabulary import Vocabulary
from heedful.errors import OptionError
from heedful.inputs.turns import Turns


def exchanges(dialogues: list[Dialogue]) -> list[tuple[str, str]]:
    return [
        (each.turns[at].text, each.turns[at + 1].text)
        for each in dialogues
        for at in range(0, len(each.turns), 2)
    ]


def test_the_first_word_is_that_of_the_opening() -> None:
    corpus = build(train_size=200, valid_size=1, test_size=1)
    firsts = set()
    for asked, answer in exchanges(corpus.train):
        words, at = asked.split(), opening_at(asked)
        form = FORMS[words[at], words[at + 1]]
        assert answer.startswith(f"{form.first} , {form.subject} ")
        firsts.add(form.first)
    assert firsts == {form.first for form in FORMS.values()}


def test_both_orders_of_a_pair_are_there_and_nothing_else_tells_them_apart() -> None:
    for one, two in FORMS:
        assert (two, one) in FORMS
        assert FORMS[one, two].first != FORMS[two, one].first
    others = " ".join((*STATES, *TIMES, *BEFORE, *AFTER)).split()
    assert not {word for pair in FORMS for word in pair} & set(others)


def test_no_part_asks_what_another_asks() -> None:
    corpus = build(train_size=300, valid_size=50, test_size=50)

    def asked(dialogues: list[Dialogue]) -> set[str]:
        return {answer for _, answer in exchanges(dialogues)}

    train, valid, test = (asked(getattr(corpus, name)) for name in ("train", "valid", "test"))
    assert not train & valid
    assert not train & test
    assert not valid & test


def test_it_is_the_same_each_time_and_has_its_sizes() -> None:
    one, other = build(3), build(3)
    assert one.train == other.train
    assert build(4).train != one.train
    assert [len(part) for part in (one.train, one.valid, one.test)] == [2000, 200, 300]
    with pytest.raises(OptionError, match="each must be 1 or more"):
        build(test_size=0)
    with pytest.raises(OptionError, match="did you mean 'answers'"):
        load_builtin_dialogues("answer")


def test_the_claim_measures_the_two_words_that_decide() -> None:
    data = read_replies(
        build(train_size=40, valid_size=1, test_size=1).train, "answers", max_turns=8
    )
    vocabulary = Vocabulary.train(data.turn_texts(), kind="word", min_frequency=1)
    turns = Turns(vocabulary, 8, 128)
    for exchange, encoded in zip(data.rows, turns.encode(data.rows), strict=True):
        two, others = opening(exchange, len(encoded.ids))
        pieces = [piece.strip("▁") for piece in turns.positions(exchange)]
        found = (pieces[two[0]], pieces[two[1]])
        assert exchange.reply is not None
        assert exchange.reply.split()[0] == FORMS[found].first
        last = exchange.history[-1].text.split()
        assert [pieces[at] for at in sorted([*two, *others])] == last
