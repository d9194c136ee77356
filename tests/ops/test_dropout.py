"""Dropout acts on the weights after normalizing."""

from __future__ import annotations

import pytest
import torch

from heedful import attend, masks
from tests.ops.compare import assert_all_same, assert_same, gradients, run
from tests.ops.examples import WITHOUT_DROPOUT, example, served_pairs

BACKENDS = ["auto", "reference", "chunked", "sdpa"]
DROPPING = [pair for pair in served_pairs() if pair[1] not in WITHOUT_DROPOUT]


@pytest.mark.parametrize("backend", BACKENDS)
def test_expectation_and_scaling(backend: str) -> None:
    query, key, value = torch.randn(2000, 2, 4), torch.randn(1, 3, 4), torch.eye(3)[None]
    query = query[:1].expand(2000, 2, 4)
    dropped, weights = attend(
        query, key, value, dropout_p=0.4, return_weights=True, backend=backend
    )
    assert weights is not None
    # Values are unit vectors, so the output is what became of the weights: 0, or grown by 1 / 0.6.
    kept = dropped != 0
    assert_same(dropped[kept], (weights / 0.6)[kept])
    assert float(kept.float().mean()) == pytest.approx(0.6, abs=0.02)
    assert torch.allclose(dropped.mean(0), weights[0], atol=0.05)


@pytest.mark.parametrize(("score", "backend"), DROPPING)
def test_all_dropped_is_zero(score: str, backend: str) -> None:
    got = gradients(example(score, "dense", bias=True), backend=backend, dropout_p=1.0)
    for name, tensor in got.items():
        assert not bool(tensor.any()), name


@pytest.mark.parametrize(("score", "backend"), DROPPING)
def test_weights_are_those_before_dropout_and_change_nothing(score: str, backend: str) -> None:
    call = example(score, "dense")
    wanted = run(call, backend="reference", return_weights=True).weights
    assert wanted is not None
    torch.manual_seed(3)
    with_weights = run(call, backend=backend, dropout_p=0.5, return_weights=True)
    torch.manual_seed(3)
    without = run(call, backend=backend, dropout_p=0.5)
    assert torch.equal(with_weights.output, without.output)
    assert with_weights.weights is not None
    assert_same(with_weights.weights, wanted)
    assert not torch.allclose(with_weights.output, run(call).output)


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax", "sigmoid"])
def test_chunked_drops_the_same_weights_again_in_its_backward_pass(normalizer: str) -> None:
    call = example("additive", "padding", normalizer, queries=7)
    # The value's gradient is kept weightsᵀ · direction; with unit values the output is the kept weights.
    value = torch.eye(4, dtype=torch.float64).expand(2, 2, 4, 4)
    call = call.with_tensors({"value": value})
    direction = torch.randn(2, 2, 7, 4).double()
    torch.manual_seed(5)
    got = gradients(call, direction, backend="chunked", dropout_p=0.5)
    assert_same(got["value"], got["output"].transpose(-2, -1) @ direction)
    torch.manual_seed(5)
    assert_all_same(gradients(call, direction, backend="chunked", dropout_p=0.5), got)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_without_keys_stay_zero(backend: str) -> None:
    query = torch.randn(2, 3, 4)
    mask = masks.Padding(torch.tensor([0, 2]))
    output = attend(query, query, query, mask=mask, dropout_p=0.5, backend=backend).output
    assert not bool(output[0].any())
