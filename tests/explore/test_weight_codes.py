"""Weights as codes of one byte: how far a weight and the sum of a row may be off."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful.explore import AttentionRecord, draw_html
from heedful.explore.page_data import EXACT_CELLS
from heedful.explore.weight_codes import USED, code_weights, packed, row_statistics
from tests.explore.pages import Page

RNG = np.random.default_rng(0)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def with_sink(keys: int) -> NDArray[np.float64]:
    weights = np.full((2, 8, keys), 0.1 / (keys - 1))
    weights[..., 0] = 0.9
    return weights


@pytest.mark.parametrize(
    "weights",
    [
        softmax(RNG.normal(0, 1, (2, 16, 512))),
        softmax(RNG.normal(0, 3, (2, 16, 512))),
        np.full((1, 4, 512), 1 / 512),
        np.full((1, 4, 2000), 1 / 2000),
        np.full((1, 4, 7), 1 / 7),
        with_sink(512),
        with_sink(2000),
        np.eye(9)[None],
        np.zeros((1, 3, 5)),
    ],
    ids=[
        "flat",
        "peaked",
        "even",
        "even and long",
        "even and short",
        "sink",
        "long sink",
        "one",
        "zero",
    ],
)
def test_weights_and_sums_of_rows_are_kept(weights: NDArray[np.float64]) -> None:
    coded = code_weights(weights)
    found = coded.decoded().astype(np.float64)
    assert (coded.top, coded.signed) == (1.0, False)
    assert np.abs(found - weights).max() <= 0.004
    sums = weights.sum(axis=-1)
    assert np.abs(found.sum(axis=-1) - sums).max() <= 0.011 * max(sums.max(), 1e-9)
    assert (found[weights == 0] == 0).all()


def test_every_code_in_use_is_the_nearest_of_some_weight_and_half_way_two_meet() -> None:
    def code(root: float) -> int:
        return int(code_weights(np.array([[(root / 255) ** 2, 1.0]])).codes[0, 0])

    used = USED.astype(float)
    middles = (used[1:] + used[:-1]) / 2
    assert [code(root) for root in used] == USED.tolist()
    assert [code(middle - 0.01) for middle in middles] == USED[:-1].tolist()
    assert [code(middle + 0.01) for middle in middles] == USED[1:].tolist()


def test_noise_of_512_tokens_stays_small_when_packed() -> None:
    weights = softmax(RNG.normal(0, 3, (2, 512, 512)))
    size = 72 * len(packed(code_weights(weights).codes)) / 1e6
    assert size < 20  # 12 layers of 12 heads, MB


def test_other_measures_have_a_range_of_their_own_and_a_sign() -> None:
    weights = RNG.normal(0, 5, (1, 4, 30))
    coded = code_weights(weights)
    assert coded.signed
    assert coded.top == pytest.approx(np.abs(weights).max())
    found = coded.decoded()
    assert (np.sign(found) * np.sign(weights) >= 0).all()
    assert np.abs(found - weights).max() <= coded.top / 127


def test_statistics_of_rows_are_exact_and_have_the_mean_of_heads_last() -> None:
    weights = softmax(RNG.normal(0, 2, (3, 5, 40)))
    sums, largest, spread = np.moveaxis(row_statistics(weights), -1, 0)
    assert sums.shape == (4, 5)
    np.testing.assert_allclose(sums, 1, rtol=1e-6)
    np.testing.assert_allclose(largest[3], weights.mean(axis=0).max(axis=-1), rtol=1e-6)
    entropy = -(weights * np.log(weights)).sum(axis=-1)
    np.testing.assert_allclose(spread[:3], np.exp(entropy), rtol=5e-4)


def test_a_page_of_many_weights_holds_codes_and_one_mask_for_all_layers() -> None:
    n = 300
    words = tuple(map(str, range(n)))
    allowed = np.tril(np.ones((n, n), bool))
    weights = softmax(np.where(allowed, RNG.normal(0, 2, (2, n, n)), -np.inf))
    records = [
        AttentionRecord(
            "a", "decoder", layer, words, words, weights / (layer + 1), mask=allowed[None]
        )
        for layer in range(2)
    ]
    assert sum(record.weights.size for record in records) > EXACT_CELLS
    page = Page(draw_html(records))
    data = page.data()
    assert len(data["tokens"]) == 1
    assert len({values["mask"] for values in data["records"]}) == 1
    for found, record in zip(page.records(), records, strict=True):
        assert np.abs(found.weights - record.weights).max() <= 0.004
        assert (found.allowed == record.allowed).all()
