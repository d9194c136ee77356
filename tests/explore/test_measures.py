"""Norms, contributions, rollout and gradient × attention, against what they are by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from heedful import attend, masks, positions, scores
from heedful import nn as heedful_nn
from heedful.explore import recording
from heedful.explore.measures import (
    CONTRIBUTION,
    GRADIENT,
    NORM,
    ROLLOUT,
    contributions,
    gradient_times_attention,
    norms,
    other_measures,
)


def attended(**options: Any) -> tuple[nn.Module, torch.Tensor, Any]:
    torch.manual_seed(0)
    module = heedful_nn.MultiHeadAttention(8, 4, **options)
    x = torch.randn(1, 5, 8)
    with recording(module, details=True) as recorder:
        output = module(x, mask=masks.Causal()).output
    [detail] = recorder.details().values()
    return module, output, (recorder, detail)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_kv_heads": 2},
        {"rotary": positions.Rotary(2)},
        {"score": "additive"},
        {"score": "bilinear"},
        {"score": "cosine"},
    ],
    ids=str,
)
def test_details_compute_the_same_weights_and_output(options: dict[str, Any]) -> None:
    module, output, (recorder, detail) = attended(**options)
    [record] = recorder.records()
    assert detail.difference < 1e-6
    np.testing.assert_allclose(detail.weights.numpy(), record.weights, atol=1e-7)
    assert (detail.allowed.numpy() == record.allowed).all()
    torch.testing.assert_close(detail.weights @ detail.value, detail.output)
    whole = (detail.output @ detail.projection).sum(dim=0) + module.output_projection.bias
    torch.testing.assert_close(whole, output[0])


def test_a_bias_is_part_of_the_steps_and_a_call_without_heads_has_one() -> None:
    class Biased(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bias = torch.tensor([0.0, 1.0, -torch.inf]).expand(3, 3)
            return attend(x, x, x, score=scores.Dot(), bias=bias).output

    module = Biased()
    with recording(module, details=True) as recorder:
        module(torch.eye(3)[None])
    [detail] = recorder.details().values()
    assert detail.scores.shape == (1, 3, 3)
    assert detail.bias is not None
    assert detail.allowed[0, 0].tolist() == [True, True, False]
    assert detail.difference < 1e-6


def test_norms_and_contributions_are_those_of_the_vectors() -> None:
    _, _, (_, detail) = attended()
    vectors = detail.weights[..., None] * (detail.value @ detail.projection)[:, None]
    np.testing.assert_allclose(norms(detail), vectors.norm(dim=-1).numpy(), rtol=1e-5, atol=1e-7)
    found = contributions(detail)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    output = vectors.sum(dim=2)
    along = torch.einsum("hqkd,hqd->hqk", vectors, output) / output.square().sum(-1, keepdim=True)
    np.testing.assert_allclose(found, along.numpy(), rtol=1e-4, atol=1e-6)


def test_gradient_times_attention_is_the_gradient_by_the_weights() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 3, requires_grad=True)

    class Module(nn.Module):
        def forward(self) -> torch.Tensor:
            return attend(x, x, x).output.square().sum()

    module = Module()
    with recording(module, details=True) as recorder:
        score = module()
    [detail] = recorder.details().values()
    (gradient,) = torch.autograd.grad(score, detail.source)
    weights = detail.weights.clone().requires_grad_()
    ((weights @ detail.value).square().sum()).backward()
    found = gradient_times_attention(detail, gradient[0])
    np.testing.assert_allclose(found, (weights.grad * detail.weights).numpy(), rtol=1e-4, atol=1e-6)


def test_other_measures_have_the_tokens_and_say_what_they_assume() -> None:
    _, _, (recorder, detail) = attended()
    records = recorder.records({"self": ("abcde", "abcde")})
    found = other_measures(records, recorder.details(), {"": torch.ones_like(detail.output)})
    assert [record.measure for record in found] == [NORM, CONTRIBUTION, GRADIENT]
    two = [records[0], records[0].head(0)]
    assert [each.measure for each in other_measures(two, {})] == [ROLLOUT, ROLLOUT]
    assert all(record.key_tokens == tuple("abcde") and record.note for record in found)
