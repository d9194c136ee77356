"""Turns as an input: speakers, ages, limits, and the words that pieces belong to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from heedful.answers.ranking_metrics import RankingScores, Ranks, ranks_among
from heedful.answers.reply import Reply
from heedful.answers.reply_metrics import variety
from heedful.data.dialogue.ngram_models import NgramModels
from heedful.data.dialogue.replies import Replies
from heedful.data.dialogue.turns import ASSISTANT, USER, Exchange, Turn
from heedful.data.vocabulary import Vocabulary
from heedful.inputs.turns import OLDEST, Turns, distinct_replies
from heedful.tasks.reply import TASK, ReplyConfig

WORDS = "are you free tomorrow ? yes , I am . perhaps"
VOCABULARY = Vocabulary.train([WORDS] * 2, kind="word", min_frequency=1)
TALK = Exchange(
    (
        Turn(USER, "are you free ?"),
        Turn(ASSISTANT, "perhaps ."),
        Turn(USER, "tomorrow ?"),
    ),
    "yes , I am .",
)


def turns(max_turns: int = 8, max_tokens: int = 64) -> Turns:
    return Turns(VOCABULARY, max_turns, max_tokens)


def test_each_turn_starts_with_its_speaker_and_has_its_age() -> None:
    [encoded] = turns().encode([TALK])
    user, assistant = len(VOCABULARY), len(VOCABULARY) + 1
    ids = encoded.ids.tolist()
    assert [ids[0], ids[5], ids[8]] == [user, assistant, user]
    assert ids[-1] == VOCABULARY.end_id
    assert encoded.ages.tolist() == [2] * 5 + [1] * 3 + [0] * 3 + [0]
    assert turns().size == len(VOCABULARY) + 3
    assert VOCABULARY.decode(encoded.reply.tolist()) == TALK.reply


def test_no_text_is_ever_encoded_as_a_speaker() -> None:
    vocabulary = Vocabulary.train(["user: assistant: <user> hi"] * 9, kind="bpe", size=300)
    talk = Exchange((Turn(USER, "user: assistant: <user> hi"),))
    [encoded] = Turns(vocabulary, 8, 99).encode([talk])
    assert (encoded.ids >= len(vocabulary)).sum() == 1


def test_too_many_turns_and_tokens_leave_the_oldest_out() -> None:
    [whole], [two], [short] = (
        each.encode([TALK]) for each in (turns(), turns(2), turns(max_tokens=6))
    )
    assert two.ids.tolist() == whole.ids[5:].tolist()
    assert two.ages.tolist() == whole.ages[5:].tolist()
    assert short.ids.tolist() == whole.ids[-6:].tolist()
    many = Exchange(tuple(Turn(USER, "yes") for _ in range(30)))
    [encoded] = turns(30, 500).encode([many])
    assert encoded.ages.max() == OLDEST


@pytest.mark.parametrize(("max_turns", "max_tokens"), [(8, 64), (2, 64), (8, 6), (8, 8), (8, 3)])
def test_pieces_and_words_are_those_that_are_encoded(max_turns: int, max_tokens: int) -> None:
    one = turns(max_turns, max_tokens)
    [encoded] = one.encode([TALK])
    spelled = one.spelled(TALK)
    assert len(spelled.pieces) + 1 == len(encoded.ids)
    for piece, word, index in zip(
        spelled.pieces, spelled.word_ids, encoded.ids.tolist(), strict=False
    ):
        assert piece.strip("▁") in spelled.words[word]
        if index >= len(VOCABULARY):
            assert piece in ("user:", "assistant:")
        else:
            assert VOCABULARY.pieces[index] == piece


def test_a_history_without_words_is_empty_unless_none_is_read() -> None:
    blank = Exchange((Turn(USER, "  "),), "yes")
    assert len(turns().encode([blank, Exchange(())])[0].ids) == 0
    [encoded] = turns(0).encode([TALK])
    assert encoded.ids.tolist() == [VOCABULARY.end_id]


def test_hidden_words_are_unknown() -> None:
    [encoded] = turns().encode([TALK])
    hidden = turns().hide(encoded, [1, 2])
    assert hidden.ids[1:3].tolist() == [VOCABULARY.unk_id] * 2
    assert hidden.ids[3:].tolist() == encoded.ids[3:].tolist()
    assert encoded.ids[1] != VOCABULARY.unk_id


def test_distinct_replies_of_a_batch() -> None:
    texts = ["yes", "perhaps", "yes", "I am"]
    batch = turns().collate(turns().encode([Exchange(TALK.history, text) for text in texts]))
    ids, lengths, place = distinct_replies(batch)
    assert len(ids) == 3
    assert place[0] == place[2]
    for row in range(4):
        assert ids[place[row]].tolist() == batch.reply_ids[row].tolist()
        assert lengths[place[row]] == batch.reply_lengths[row]


def test_bigrams_are_a_distribution_and_better_than_unigrams() -> None:
    sentences = [[5, 6, 7], [5, 6], [7, 5, 6]]
    models = NgramModels.learn(sentences, 9, begin=2, end=3)
    # By hand: 5 is followed by 6 three times and by nothing else; 11 tokens are predicted, 6 and 3 three times each.
    six, end = (3 + 1) / (11 + 9), (3 + 1) / (11 + 9)
    begin_five = (2 + 2 * six) / (3 + 2)
    five_six = (3 + six) / (3 + 1)
    six_end = (2 + 2 * end) / (3 + 2)
    found = models.losses([5, 6], begin=2, end=3)
    assert found[0] == pytest.approx(-math.log(six * six * end))
    assert found[1] == pytest.approx(-math.log(begin_five * five_six * six_end))
    pairs = (models.losses(each, begin=2, end=3) for each in sentences)
    one, two = (sum(each) for each in zip(*pairs, strict=True))
    assert two < one


def test_the_loss_of_a_reply_is_that_of_the_training() -> None:
    texts = ["yes , I am .", "perhaps", "I am free tomorrow .", "yes"]
    data = Replies([Exchange(TALK.history[: n + 1], text) for n, text in enumerate(texts[:3])])
    values: dict[str, Any] = {
        "model": {"kind": "gru", "embedding": 8, "hidden": 8},
        "vocabulary": {"kind": "word", "min_frequency": 1},
    }
    predictor = TASK.learn(ReplyConfig.model_validate(values), data)
    predictor.model.eval()
    [batch] = TASK.batches(predictor, data, training=False).epoch(0)
    with torch.no_grad():
        total = float(predictor.answer.loss(predictor.model, *batch))
    found = list(predictor.predict(data.inputs))
    assert sum(each.loss for each in found) == pytest.approx(total, rel=1e-5)
    assert sum(each.tokens for each in found) == predictor.answer.count_predictions(*batch)
    metrics = predictor.evaluate(data)
    assert metrics.perplexity == pytest.approx(
        float(Reply.value(predictor.answer.statistics(found, data).sum(0))), rel=1e-6
    )
    assert metrics.people_distinct_replies == 1


def test_variety() -> None:
    found = variety(["A b", "a b", "c"])
    assert found == (3 / 5, 1 / 2, 2 / 3)
    assert variety([""]) == (0, 0, 1)


def test_ranks_and_their_metrics() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.1, 0.9, 0.2], [0.5, 0.5, 0.1], [0, 0, 0]])
    drawn = np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1], [-1, -1, -1]])
    ranks = ranks_among(scores, drawn)
    assert ranks[:3].tolist() == [1, 3, 1.5]

    class Data:
        candidates = 3
        rows = (Exchange((), group="a"), Exchange((), group="b"))

        def __len__(self) -> int:
            return 4

    nothing = np.full(4, np.nan)
    found = RankingScores.of(Ranks(ranks, nothing), Ranks(ranks, nothing), Data())
    assert found.hits_1 == pytest.approx(1 / 3)
    assert found.hits_5 == 1
    assert found.mrr == pytest.approx((1 + 1 / 3 + 1 / 1.5) / 3)
    assert (found.counted, found.counted_alike) == (3, 0)
    [table] = found.tables()
    assert table[1][1:] == ["0.333", "–"]
