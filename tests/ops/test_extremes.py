"""Numbers at the ends of their range, and keys prepared for somebody else."""

from __future__ import annotations

import math

import pytest
import torch

from heedful import OptionError, attend, normalizers, positions, scores
from tests.ops.examples import HERE, open_mask


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        (3e4, torch.float16),
        (6e-8, torch.float16),
        (1e15, torch.bfloat16),
        (1e15, torch.float32),
        (1e-15, torch.float32),
    ],
)
def test_cosine_of_a_vector_with_itself_is_one_whatever_its_size(
    size: float, dtype: torch.dtype
) -> None:
    vector = torch.full((1, 8), size, dtype=dtype)
    one = torch.ones(1, 1, dtype=dtype)
    sigmoid = normalizers.Sigmoid()
    output = attend(vector, vector, one, score=scores.Cosine(1.0), normalizer=sigmoid).output
    assert float(output) == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-2)


def test_cosine_of_no_features_is_zero() -> None:
    empty = torch.ones(2, 0)
    score = scores.Cosine(1.0)
    prepared = score.prepare_key(empty).features
    assert score.pair(score.prepare_query(empty), prepared).tolist() == [[0.0, 0.0]] * 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", HERE)
def test_a_bias_is_not_rounded_to_half_precision(backend: str, dtype: torch.dtype) -> None:
    x = torch.randn(1, 4, 60, 16).to(dtype)
    bias = torch.randn(60, 60) - 1000
    wanted = attend(x.double(), x.double(), x.double(), bias=bias.double(), backend="reference")
    mask = open_mask(backend, 60, 60)
    got = attend(x, x, x, bias=bias, mask=mask, backend=backend).output
    assert float((got.double() - wanted.output).abs().max()) < 0.02


OTHERS = {
    "another score inside": scores.Rotated(scores.Dot(), positions.Rotary(8)),
    "another base": scores.Rotated(scores.Cosine(1.0), positions.Rotary(8, base=500.0)),
    "fewer features turned": scores.Rotated(scores.Cosine(1.0), positions.Rotary(4)),
    "not rotated": scores.Cosine(1.0),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_key_rotated_for_one_score_is_refused_by_another(name: str) -> None:
    x = torch.randn(2, 3, 8)
    rotated = scores.Rotated(scores.Cosine(1.0), positions.Rotary(8))
    prepared = rotated.prepare_key(x)
    attend(x, prepared, x, score=rotated)
    match = r"prepared by the score cosine rotated in 8 features with base 10000.0, but this call"
    with pytest.raises(OptionError, match=match):
        attend(x, prepared, x, score=OTHERS[name])


def test_a_cache_goes_on_where_the_rotation_stopped() -> None:
    x, rotary = torch.randn(2, 5, 8), positions.Rotary(8)
    prepared = scores.Rotated(scores.Dot(), rotary).prepare_key(x)
    later = scores.Rotated(scores.Dot(), rotary, query_start=4, key_start=5)
    assert attend(x[:, -1:], prepared, x, score=later).output.shape == (2, 1, 8)
