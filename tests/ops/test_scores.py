"""Scores against formulas and functions that know nothing of ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from heedful import attend, masks, normalizers, plan, scores
from heedful.ops.scores import SCORES, Score
from tests.ops.compare import assert_same
from tests.ops.examples import HERE, SCORE_EXAMPLES, example, open_mask

# Each score by the textbook's formula of one query vector s and one key vector h, for head `n`.
TEXTBOOK: dict[str, Callable[[Score, int, Tensor, Tensor], Tensor]] = {
    "dot": lambda e, n, s, h: s @ h,
    "soft_capped": lambda e, n, s, h: e.cap * torch.tanh(s @ h / e.cap),
    "scaled_dot": lambda e, n, s, h: s @ h / len(s) ** 0.5,
    "bilinear": lambda e, n, s, h: s @ e.weight[n] @ h,
    "low_rank": lambda e, n, s, h: (s @ e.query_factor[n]) @ (h @ e.key_factor[n]),
    "cosine": lambda e, n, s, h: e.temperature[n] * F.cosine_similarity(s, h, dim=0),
    "gaussian": lambda e, n, s, h: -(s - h).square().sum() / (2 * e.bandwidth[n] ** 2),
    "additive": lambda e, n, s, h: (
        e.vector[n] @ torch.tanh(s @ e.query_weight[n] + h @ e.key_weight[n])
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_the_textbooks(name: str) -> None:
    call = example(name)
    features = call.score.prepare_key(call.key)
    assert features.score == call.score.key_kind
    got = call.score.pair(call.score.prepare_query(call.query), features.features)
    assert call.score.prepare_query(call.query).shape[-1] == call.score.pair_features(
        call.query.shape[-1]
    )
    for b, n, i, j in torch.cartesian_prod(*map(torch.arange, got.shape)).tolist():
        wanted = TEXTBOOK[name](call.score, n, call.query[b, n, i], call.key[b, n, j])
        assert_same(got[b, n, i, j], wanted)


def test_leaky_relu_is_gatv2s() -> None:
    score = scores.Additive(torch.randn(3, 4), torch.randn(2, 4), torch.randn(4), "leaky_relu")
    query, key = torch.randn(5, 3), torch.randn(6, 2)
    got = score.pair(score.prepare_query(query), score.prepare_key(key).features)
    both = torch.cat([query[:, None].expand(5, 6, 3), key.expand(5, 6, 2)], -1)
    weight = torch.cat([score.query_weight, score.key_weight])
    assert_same(got, F.leaky_relu(both @ weight, 0.2) @ score.vector)


def test_scale_replaces_the_square_root() -> None:
    query, key = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    for backend in HERE:
        mask, score = open_mask(backend, 3, 5), scores.ScaledDot(0.3)
        got = attend(query, key, key, score=score, mask=mask, backend=backend).output
        assert_same(got, F.scaled_dot_product_attention(query, key, key, scale=0.3))


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (3, 6, 8), (2, 2, 3, 6, 8)])
def test_scaled_dot_is_torchs(backend: str, shape: tuple[int, ...]) -> None:
    query, key, value = (torch.randn(shape).double() for _ in range(3))
    keep = torch.rand(shape[-2], shape[-2]) > 0.4
    keep[1] = False
    bias = torch.randn(shape[-2], shape[-2]).double()
    cases = [
        ({}, {}),
        ({"mask": masks.Causal()}, {"is_causal": True}),
        ({"mask": keep}, {"attn_mask": keep}),
        ({"bias": bias}, {"attn_mask": bias}),
        ({"mask": keep, "bias": bias}, {"attn_mask": bias.masked_fill(~keep, -torch.inf)}),
    ]
    opened = open_mask(backend, shape[-2], shape[-2])
    for ours, theirs in cases:
        if opened is not None:
            ours["mask"] = opened & ours["mask"] if "mask" in ours else opened
        got = attend(query, key, value, backend=backend, **ours).output  # type: ignore[arg-type]
        assert_same(got, F.scaled_dot_product_attention(query, key, value, **theirs))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("backend", ["auto", "reference", "chunked"])
def test_attention_is_softmax_of_the_textbooks_scores(name: str, backend: str) -> None:
    call = example(name)
    pairs = [
        [
            [
                [TEXTBOOK[name](call.score, n, s, h) for h in call.key[b, n]]
                for s in call.query[b, n]
            ]
            for n in range(2)
        ]
        for b in range(2)
    ]
    wanted = torch.softmax(torch.tensor(pairs, dtype=torch.float64), -1)
    got = attend(
        call.query, call.key, call.value, score=call.score, return_weights=True, backend=backend
    )
    assert got.weights is not None
    assert_same(got.weights, wanted)
    assert_same(got.output, wanted @ call.value)


def test_every_score_has_its_textbook_formula() -> None:
    assert TEXTBOOK.keys() == SCORES.keys() == SCORE_EXAMPLES.keys()


def test_cosine_of_zero_is_zero() -> None:
    score = scores.Cosine(3.0)
    query = torch.zeros(1, 4, requires_grad=True)
    pair = score.pair(score.prepare_query(query), score.prepare_key(torch.ones(2, 4)).features)
    assert pair.tolist() == [[0.0, 0.0]]


def test_gaussian_is_kernel_regression() -> None:
    """Weights 50, 65, 60 as queries, heights as keys: the distance decides, not the size."""
    people = torch.tensor([[160.0, 50.0], [165.0, 65.0], [175.0, 60.0]], dtype=torch.float64)
    ages = torch.tensor([[50.0], [23.0], [21.0]], dtype=torch.float64)
    someone = torch.tensor([[170.0, 63.0]], dtype=torch.float64)
    weights = torch.exp(-(people - someone).square().sum(-1) / (2 * 5.0**2))
    wanted = (weights @ ages) / weights.sum()
    assert_same(attend(someone, people, ages, score=scores.Gaussian(5.0)).output[0], wanted)


def test_a_prepared_key_keeps_its_score_when_its_features_change() -> None:
    prepared = scores.Cosine(1.0).prepare_key(torch.randn(2, 3))
    other = prepared.with_features(prepared.features[:1])
    assert other.score == "cosine"
    assert other.features.shape == (1, 3)


class Manhattan(scores.Score):
    """Minus the sum of absolute differences: a pair of its own."""

    name = "manhattan"

    def check(self, query: Tensor, key: Tensor | scores.PreparedKey) -> None:
        """Any."""

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        return -(query[..., :, None, :] - key[..., None, :, :]).abs().sum(-1)


class Shifted(scores.Dot):
    """A subclass of a dot score with a pair of its own."""

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        return super().pair(query, key) - torch.arange(key.shape[-2]).to(query)


class Mixin:
    """Overrides a pair from beside."""

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        return query @ key.mT - torch.arange(key.shape[-2]).to(query)


class Mixed(Mixin, scores.ScaledDot):
    """As `Shifted`."""


@pytest.mark.parametrize("kind", [Manhattan, Shifted, Mixed])
def test_a_pair_of_ones_own_is_served_by_backends_that_call_it(kind: type[scores.Score]) -> None:
    assert kind.pair_kind == "custom"
    score, length = kind(), 90
    query, key, value = (torch.randn(2, 4, length, 32, dtype=torch.float64) for _ in "qkv")
    prepared = score.pair(score.prepare_query(query), score.prepare_key(key).features)
    for mask in (None, masks.Causal(), masks.Window(5, 3)):
        keep = None if mask is None else mask.dense(length, length)
        wanted = normalizers.Softmax().weights(prepared, keep) @ value
        for backend in (
            "auto",
            "reference",
            "chunked",
            *(["band"] if mask == masks.Window(5, 3) else []),
        ):
            got = attend(query, key, value, score=score, mask=mask, backend=backend).output
            assert_same(got, wanted)
    for backend in ("sdpa", "flex", "edges"):
        assert "serves the call" not in plan(query, key, value, score=score).rejected[backend]


class Warmer(scores.ScaledDot):
    """Prepares otherwise, and pairs as its class does."""

    def project_query(self, query: Tensor) -> Tensor:
        return 3 * super().project_query(query)


def test_what_only_prepares_otherwise_keeps_its_kind() -> None:
    assert Warmer.pair_kind == "dot"
    query, key, value = (torch.randn(2, 4, 9, 8, dtype=torch.float64) for _ in "qkv")
    got = attend(query, key, value, score=Warmer()).output
    assert_same(got, attend(3 * query, key, value).output)
