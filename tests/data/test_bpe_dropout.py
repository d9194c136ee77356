"""BPE-dropout: other divisions of the same texts, which seed, epoch and row decide."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from heedful.config import build
from heedful.data.bpe_dropout import BpeDropout
from heedful.data.files import Pairs
from heedful.data.vocabulary import Vocabulary
from heedful.errors import OptionError
from heedful.tasks.translate import TASK, TranslationConfig

WORDS = [
    "low", "lower", "lowest", "new", "newer", "newest", "wide", "wider", "widest", "naïve", "你好吗", "2026", "!?",
    "don't", "x-ray",
]  # fmt: skip
SHUFFLED = random.Random(0)
TEXTS = [" ".join(SHUFFLED.choices(WORDS, k=SHUFFLED.randint(1, 9))) for _ in range(200)]
VOCABULARY = Vocabulary.train(TEXTS, kind="bpe", size=120)
UNSEEN = ["lower Ω new", "Ωlower", "newΩest lower", "widestΩΩ", "!Ω?"]
"""Texts with a character that the vocabulary does not have."""


def divided(ids: list[int], probability: float, seed: int = 0, longest: int = 10_000) -> list[int]:
    dropout = BpeDropout(VOCABULARY, probability, longest)
    return dropout.divide(np.array(ids, np.uint16), np.random.default_rng(seed)).tolist()


@pytest.mark.parametrize("text", [*TEXTS[:60], *UNSEEN])
def test_probability_0_is_the_usual_division(text: str) -> None:
    ids = [VOCABULARY.begin_id, *VOCABULARY.encode(text).ids, VOCABULARY.end_id]
    assert divided(ids, 0.0) == ids


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.99])
def test_other_divisions_are_of_the_same_text(probability: float) -> None:
    others = 0
    for number, text in enumerate([*TEXTS, *UNSEEN]):
        ids = VOCABULARY.encode(text).ids
        found = divided(ids, probability, seed=number)
        assert VOCABULARY.decode(found) == VOCABULARY.decode(ids)
        others += found != ids
    assert others > 50


def test_more_probability_makes_more_pieces() -> None:
    counts = [
        sum(len(divided(VOCABULARY.encode(text).ids, p, seed=n)) for n, text in enumerate(TEXTS))
        for p in (0.0, 0.1, 0.5, 1 - 1e-12)
    ]
    assert counts == sorted(counts)
    characters = sum(len(text) + (text[0] != "你") for text in TEXTS)  # with marks of first words
    assert counts[-1] == characters


def test_the_generator_alone_decides() -> None:
    ids = VOCABULARY.encode(TEXTS[0]).ids
    assert divided(ids, 0.5, seed=3) == divided(ids, 0.5, seed=3)
    assert len({tuple(divided(ids, 0.5, seed=each)) for each in range(20)}) > 5


def test_a_division_that_is_too_long_is_not_taken() -> None:
    ids = VOCABULARY.encode(TEXTS[0]).ids
    assert divided(ids, 0.99, longest=len(ids)) == ids


def translator(**vocabulary: object) -> tuple[object, Pairs, object]:
    settings = {
        "model": {"kind": "gru", "embedding": 8, "hidden": 8},
        "vocabulary": {"size": 120, "min_frequency": 1, **vocabulary},
    }
    data = Pairs(TEXTS[:50], TEXTS[50:100])
    torch.manual_seed(0)
    return TASK.learn(build(TranslationConfig, settings), data), data, settings


@pytest.mark.parametrize("shared", [True, False])
def test_training_batches_change_each_epoch_and_validation_does_not(shared: bool) -> None:
    predictor, data, _ = translator(dropout=0.3, shared=shared)
    training = TASK.batches(predictor, data, training=True)  # type: ignore[arg-type]

    def ids(batches: object, epoch: int) -> list[object]:
        return [
            (batch.batch.ids.tolist(), batch.targets.ids.tolist())
            for batch in batches.epoch(epoch)  # type: ignore[attr-defined]
        ]

    assert ids(training, 1) == ids(training, 1)
    assert ids(training, 1) != ids(training, 2)
    validation = TASK.batches(predictor, data, training=False)  # type: ignore[arg-type]
    plain, _, _ = translator(shared=shared)
    assert ids(validation, 1) == ids(TASK.batches(plain, data, training=False), 1)  # type: ignore[arg-type]


def test_what_it_does_not_go_with_is_refused() -> None:
    with pytest.raises(OptionError, match="set vocabulary.kind to 'bpe', or vocabulary.dropout"):
        build(TranslationConfig, {"vocabulary": {"kind": "word", "dropout": 0.1}})
    with pytest.raises(OptionError, match=r"set vocabulary\.dropout or alignment\.weight to 0"):
        build(
            TranslationConfig,
            {
                "vocabulary": {"dropout": 0.1},
                "data": {"alignments": "a"},
                "alignment": {"weight": 0.1},
            },
        )
