"""Every task asks for what it says, as far away as it says."""

from __future__ import annotations

import pytest
import torch

from heedful.probe.tasks import NOT_ASKED, TASKS, Asked, Copy, First, ProbeTask, Recall

SYMBOLS = 5


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> ProbeTask:
    return TASKS[request.param](SYMBOLS)


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("length", [4, 5, 16])
@pytest.mark.parametrize("part", ["train", "test"])
def test_tokens_and_answers(task: ProbeTask, part: str, length: int) -> None:
    tokens, answers = getattr(task, part)(40, length, seed())
    whole = length // 2 * 2 if isinstance(task, Copy) else length
    assert tokens.shape == answers.shape == (40, whole)
    assert tokens.min() >= 0
    assert tokens.max() < task.vocabulary
    asked = answers != NOT_ASKED
    assert asked.any(dim=1).all()
    assert (tokens[asked] == task.question).all()
    assert (tokens[~asked] != task.question).all()
    assert set(answers[asked].tolist()) <= set(range(SYMBOLS))


def test_the_same_seed_gives_the_same_sequences(task: ProbeTask) -> None:
    one, same, other = (task.train(8, 16, seed(number)) for number in (3, 3, 4))
    assert torch.equal(one.tokens, same.tokens)
    assert not torch.equal(one.tokens, other.tokens)


def symbol_places(asked: Asked) -> list[list[int]]:
    return [[i for i, token in enumerate(row) if token < SYMBOLS] for row in asked.tokens.tolist()]


def test_recall_has_one_symbol_and_asks_for_it() -> None:
    task = Recall(SYMBOLS)
    asked = task.train(400, 6, seed())
    places = symbol_places(asked)
    assert {tuple(each) for each in places} == {(i,) for i in range(5)}
    for row, (place,) in enumerate(places):
        assert asked.tokens[row, place] == asked.answers[row, -1]
    tested = symbol_places(task.test(10, 6, seed()))
    assert all(each == [6 - 1 - task.distance(6)] for each in tested)


def test_copy_asks_for_each_half_a_sequence_later() -> None:
    task = Copy(SYMBOLS)
    tokens, answers = task.test(10, 9, seed())
    far = task.distance(9)
    assert torch.equal(answers[:, far:], tokens[:, :-far])


def test_first_has_two_different_symbols_and_asks_for_the_earlier() -> None:
    task = First(SYMBOLS)
    asked = task.train(600, 5, seed())
    places = symbol_places(asked)
    assert {tuple(each) for each in places} == {(i, j) for j in range(4) for i in range(j)}
    for row, (one, two) in enumerate(places):
        assert asked.tokens[row, one] != asked.tokens[row, two]
        assert asked.tokens[row, one] == asked.answers[row, -1]
    tested = symbol_places(task.test(10, 5, seed()))
    assert all(two - one == task.distance(5) for one, two in tested)
