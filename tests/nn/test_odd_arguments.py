"""Empty inputs, sizes of zero, and arguments of the wrong kind: served, or refused when the module is built."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from heedful import masks, normalizers, scores
from heedful.errors import DtypeError, HeedfulError, OptionError, ShapeError
from heedful.nn import (
    SCORE_MODULES,
    Attention,
    FeedForward,
    LearnedPositions,
    MultiHeadAttention,
    RecurrentEncoder,
    SinusoidalPositions,
    build_score,
)


@pytest.mark.parametrize("score", SCORE_MODULES)
@pytest.mark.parametrize(("batch", "queries", "keys"), [(0, 2, 3), (2, 0, 3), (2, 3, 0), (0, 0, 0)])
def test_nothing_in_nothing_out(score: str, batch: int, queries: int, keys: int) -> None:
    attention = MultiHeadAttention(8, 2, kdim=6, score=score, kind="cross")
    query, key = torch.randn(batch, queries, 8), torch.randn(batch, keys, 6)
    output, weights, cache = attention(query, key, return_weights=True)
    assert output.shape == (batch, queries, 8)
    assert weights.shape == (batch, 2, queries, keys)
    assert cache.length == keys
    assert torch.equal(output, attention.output_projection.bias.expand_as(output)) or keys
    assert attention(query, cache=attention.prepare(key)).output.shape == output.shape


def test_an_empty_self_attention_and_an_empty_first_cache() -> None:
    attention = MultiHeadAttention(8, 2).eval()
    assert attention(torch.randn(2, 0, 8)).output.shape == (2, 0, 8)
    x = torch.randn(2, 3, 8)
    empty = attention.prepare(x[:, :0])
    causal = masks.Causal(align="bottom_right")
    torch.testing.assert_close(
        attention(x, x, cache=empty, mask=causal).output, attention(x, mask=causal).output
    )


def grown(later: MultiHeadAttention | None = None, batch: int = 3) -> object:
    """A cache of two rows, grown by a batch of another size or by a module with another score."""
    first = MultiHeadAttention(8, 2)
    cache = first(torch.randn(2, 3, 8)).cache
    new = torch.randn(batch, 1, 8)
    return (later or first)(new, new, cache=cache)


CASES: dict[str, tuple[Callable[[], object], type[HeedfulError], str]] = {
    "a cache of other rows": (
        grown,
        ShapeError,
        r"cache holds keys \(2, 2, 3, 4\), but those to append are \(3, 2, 1, 4\); .*select",
    ),
    "a cache of another score": (
        lambda: grown(MultiHeadAttention(8, 2, score="cosine"), batch=2),
        OptionError,
        "cache holds keys prepared by the score scaled_dot, but those to append are by cosine",
    ),
    "no width": (lambda: MultiHeadAttention(0, 2), ShapeError, "embed_dim=0"),
    "no key heads": (
        lambda: MultiHeadAttention(8, 2, num_kv_heads=0),
        ShapeError,
        "num_kv_heads=0 does not divide num_heads=2",
    ),
    "no head width": (
        lambda: MultiHeadAttention(8, 2, head_dim=0),
        ShapeError,
        "head_dim=0 .* at least 1",
    ),
    "no hidden features": (
        lambda: build_score("additive", 4, 4, hidden_dim=0),
        ShapeError,
        "hidden_dim=0 .* at least 1",
    ),
    "no query features": (lambda: build_score("dot", 0, 0), ShapeError, "query_dim=0"),
    "nothing widened": (lambda: FeedForward(8, 0), ShapeError, "dim_feedforward=0 .* at least 1"),
    "a value for a score module": (
        lambda: MultiHeadAttention(8, 2, score=scores.Dot()),  # type: ignore[arg-type]
        OptionError,
        r"score is Dot\(\), .*build_score",
    ),
    "a name for a score module": (
        lambda: Attention("dot"),  # type: ignore[arg-type]
        OptionError,
        r"score is 'dot', .*build_score",
    ),
    "a name for a normalizer": (
        lambda: MultiHeadAttention(8, 2, normalizer="sparsemax"),  # type: ignore[arg-type]
        OptionError,
        r"normalizer is 'sparsemax', .*build_normalizer",
    ),
    "a class for a normalizer": (
        lambda: Attention(build_score("dot", 4, 4), normalizer=normalizers.Softmax),  # type: ignore[arg-type]
        OptionError,
        r"normalizer is <class .*build_normalizer",
    ),
    "odd waves": (lambda: SinusoidalPositions(7), ShapeError, "features is 7; make it even"),
    "positions before the first": (
        lambda: LearnedPositions(4, 8)(torch.zeros(2, 8), start=-1),
        ShapeError,
        "positions -1 to 0 were asked for, but those learned are 0 to 3",
    ),
    "no sequences": (
        lambda: RecurrentEncoder("gru", 3, 4)(torch.zeros(0, 2, 3), torch.zeros(0).long()),
        ShapeError,
        r"\(0, 2, 3\); wanted \(batch, length, 3\) with at least one sequence",
    ),
    "lengths in a list": (
        lambda: RecurrentEncoder("gru", 3, 4)(torch.zeros(1, 2, 3), [2]),
        DtypeError,
        "lengths is a list; .*tensor",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    attempt, error, message = CASES[name]
    with pytest.raises(error, match=message):
        attempt()
