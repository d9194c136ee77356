"""The bootstrap against what is known: formulas for large samples, and differences that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from heedful.answers.number import Number
from heedful.answers.text import GeneratedText
from heedful.answers.token_label import PositionLabel
from heedful.compare.significance import bootstrap

ACCURACY, RMSE = PositionLabel, Number


def right(chance: np.random.Generator, share: float, examples: int = 400) -> np.ndarray:
    """One training: (1, examples, 2)."""
    hits = (chance.random(examples) < share).astype(float)
    return np.stack([hits, np.ones(examples)], axis=1)[None]


def test_the_interval_of_one_training_is_that_of_the_formula() -> None:
    one = right(np.random.default_rng(0), 0.8)
    found = bootstrap({"a": one}, ACCURACY)
    share = one[0, :, 0].mean()
    half = 1.96 * math.sqrt(share * (1 - share) / 400)
    low, high = found.interval("a")
    assert found.metrics["a"] == pytest.approx(share)
    assert (low, high) == pytest.approx((share - half, share + half), abs=0.006)


def test_the_same_answers_do_not_differ_and_their_pairing_is_seen() -> None:
    one = np.repeat(right(np.random.default_rng(0), 0.5), 2, axis=0)
    same = bootstrap({"a": one, "b": one.copy()}, ACCURACY).difference("a", "b")
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    # right wherever the other is, and at eight more: far within the noise of either, yet no chance
    better = one.copy()
    better[:, np.flatnonzero(better[0, :, 0] == 0)[:8], 0] = 1
    found = bootstrap({"a": better, "b": one}, ACCURACY).difference("a", "b")
    assert found.difference == pytest.approx(8 / 400)
    assert found.low > 0
    assert found.p < 0.01


def test_p_values_of_no_difference_are_even() -> None:
    chance = np.random.default_rng(1)
    ps = [
        bootstrap(
            {name: np.repeat(right(chance, 0.7), 2, axis=0) for name in "ab"},
            ACCURACY,
            resamples=300,
        )
        .difference("a", "b")
        .p
        for _ in range(100)
    ]
    assert np.mean(np.array(ps) < 0.05) <= 0.12
    assert 0.35 <= np.mean(ps) <= 0.65


def test_seeds_that_disagree_widen_the_interval() -> None:
    chance = np.random.default_rng(2)
    base = np.repeat(right(chance, 0.7), 3, axis=0)
    steady = np.concatenate([right(chance, 0.8) for _ in range(3)])
    moody = np.concatenate([right(chance, share) for share in (0.6, 0.8, 1.0)])
    drawn = {"base": base, "steady": steady, "moody": moody}
    found = bootstrap(drawn, ACCURACY)
    narrow, wide = found.difference("steady", "base"), found.difference("moody", "base")
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert narrow.p < 0.03 < wide.p


def test_it_is_the_same_each_time_and_in_pieces() -> None:
    chance = np.random.default_rng(3)
    drawn = {"a": right(chance, 0.5), "b": right(chance, 0.6)}
    one = bootstrap(drawn, ACCURACY, resamples=50)
    other = bootstrap(drawn, ACCURACY, resamples=50)
    assert np.array_equal(one.resamples["a"], other.resamples["a"])
    large = {"a": right(chance, 0.5, 100_000)}
    assert len(bootstrap(large, ACCURACY, resamples=90).resamples["a"]) == 90


def test_error_is_less_for_the_better() -> None:
    errors = np.stack([np.full(50, 4.0), np.ones(50)], axis=1)[None]
    assert bootstrap({"a": errors}, RMSE, resamples=10).metrics["a"] == pytest.approx(2.0)
    assert RMSE.sign() == -1


def test_bleu_of_summed_statistics_is_bleu() -> None:
    texts, wanted = (
        ["a dog runs in the snow", "the man sits there now"],
        ["a dog runs on the snow", "a man sits there"],
    )
    rows = []
    for text, target in zip(texts, wanted, strict=True):
        one = BLEU(effective_order=True).sentence_score(text, [target])
        rows.append((*one.counts, *one.totals, one.sys_len, one.ref_len))
    found = GeneratedText.value(np.array(rows, dtype=float).sum(axis=0))
    assert float(found) == pytest.approx(BLEU().corpus_score(texts, [wanted]).score)


def test_bleu_of_any_sums_is_that_of_sacrebleu() -> None:
    chance = np.random.default_rng(0)
    for _ in range(200):
        total = np.maximum(0, chance.integers(0, 9) - np.arange(4))
        matching = np.minimum(total, chance.integers(0, 4, size=4))
        length, wanted = int(total[0]), int(chance.integers(1, 9))
        one = BLEU.compute_bleu(
            matching.tolist(), total.tolist(), length, wanted, smooth_method="exp"
        ).score
        row = np.array([*matching, *total, length, wanted], dtype=float)
        assert float(GeneratedText.value(row)) == pytest.approx(one)


def test_one_training_has_no_p_value() -> None:
    chance = np.random.default_rng(3)
    one, two = right(chance, 0.5), np.concatenate([right(chance, 0.9) for _ in range(2)])
    found = bootstrap({"one": one, "two": two, "other": two}, ACCURACY)
    assert found.difference("one", "two").p is None
    assert found.difference("two", "one").p is None
    assert found.difference("two", "other").p == 1
