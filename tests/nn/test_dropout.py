"""Dropout by the compiled kernels: how much is dropped, gradients, and what is fused with it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from heedful.nn.dropout import Dropout, dropout, dropout_relu, dropout_residual
from heedful.nn.feed_forward import FeedForward
from heedful.nn.transformer import TransformerEncoderLayer
from heedful.ops import dropping

SIZES = [32, 33, 63, 64, 40_001]


@pytest.fixture(autouse=True)
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropping, "LEAST", 32)


def factors(size: int, probability: float, seed: int) -> Tensor:
    """What numbers are multiplied by: dropout of ones."""
    torch.manual_seed(seed)
    return dropout(torch.ones(size), probability)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_share_and_the_scale_are_those_asked_for(probability: float) -> None:
    found = factors(200_000, probability, 0)
    zero, scale = sorted(found.unique().tolist())
    assert zero == 0.0
    assert scale == pytest.approx(1 / (1 - probability), rel=1e-6)
    assert float((found == 0).float().mean()) == pytest.approx(probability, abs=0.005)


def test_seeds_and_places_are_independent() -> None:
    one, other = factors(100_000, 0.5, 0) != 0, factors(100_000, 0.5, 1) != 0
    assert float((one == other).float().mean()) == pytest.approx(0.5, abs=0.01)
    for lag in (1, 16, 32, 128):
        assert float((one[lag:] == one[:-lag]).float().mean()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_drops_the_same_whatever_the_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropping, "NANOSECONDS", 100.0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = factors(40_001, 0.3, 5)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, factors(40_001, 0.3, 5))


FUSED: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], int]] = {
    "alone": (lambda x: dropout(x, 0.3), lambda f, x: x * f, 1),
    "residual": (
        lambda x, r: dropout_residual(x, r, 0.3),
        lambda f, x, r: r + x * f,
        2,
    ),
    "relu": (lambda x: dropout_relu(x, 0.3), lambda f, x: x.relu() * f, 1),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FUSED)
def test_outputs_and_gradients_are_those_of_the_factors(name: str, size: int) -> None:
    ours, plain, count = FUSED[name]
    torch.manual_seed(1)
    leaves = [torch.randn(size, requires_grad=True) for _ in range(count)]
    upstream = torch.randn(size)
    kept = factors(size, 0.3, 7)
    torch.manual_seed(7)
    mine = ours(*leaves)
    theirs = plain(kept, *leaves)
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(
        torch.autograd.grad(mine, leaves, upstream), torch.autograd.grad(theirs, leaves, upstream)
    )


@pytest.mark.parametrize("name", FUSED)
def test_second_derivatives_are_those_of_the_factors(name: str) -> None:
    ours, plain, count = FUSED[name]
    leaves = [torch.randn(64, requires_grad=True) for _ in range(count)]
    kept, found = factors(64, 0.3, 7), []
    torch.manual_seed(7)
    for output in (ours(*leaves), plain(kept, *leaves)):
        first = torch.autograd.grad(output.pow(3).sum(), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(each.square().sum() for each in first), leaves))
    torch.testing.assert_close(*found)


def test_the_residual_sum_of_half_precision_is_in_float32() -> None:
    half, residual = torch.randn(80, dtype=torch.bfloat16), torch.randn(80)
    half.requires_grad_()
    residual.requires_grad_()
    torch.manual_seed(7)
    output = dropout_residual(half, residual, 0.3)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, residual + half.float() * factors(80, 0.3, 7))
    first, second = torch.autograd.grad(output.sum(), [half, residual])
    assert (first.dtype, second.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("probability", [1e-12, 1 - 1e-12])
def test_the_probability_is_never_quite_none_or_all(probability: float) -> None:
    found = dropout(torch.ones(64), probability)
    assert found.isfinite().all()
    assert bool((found == 0).all()) == (probability > 0.5)


def test_nan_stays_where_it_is_kept() -> None:
    kept = factors(64, 0.3, 7) != 0
    for function in (dropout, dropout_relu):
        torch.manual_seed(7)
        assert torch.equal(function(torch.full((64,), torch.nan), 0.3).isnan(), kept)


@pytest.mark.parametrize("make", [torch.vmap, torch.func.grad])
def test_transforms_take_pytorchs_dropout(make: Callable[..., Callable[..., Tensor]]) -> None:
    options = {"randomness": "different"} if make is torch.vmap else {}
    found = make(lambda x: dropout_residual(x, x, 0.5).sum(), **options)(torch.ones(2, 64))
    assert found.isfinite().all()


def test_layers_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    module = sys.modules["heedful.nn.dropout"]
    for name in ("drop", "drop_rectified"):

        def note(*given: Tensor, name: str = name) -> Tensor:
            called.append(name)
            result: Tensor = getattr(dropping, name)(*given)
            return result

        monkeypatch.setattr(module, name, note)
    layer = TransformerEncoderLayer(16, 2, 32, dropout=0.1, attention_dropout=0.0)
    layer(torch.randn(2, 5, 16)).sum().backward()
    assert called == ["drop", "drop_rectified", "drop"]
    called.clear()
    layer.eval()(torch.randn(2, 5, 16))
    FeedForward(16, 32, activation="gelu", dropout=0.1)(torch.randn(2, 5, 16))
    Dropout(0.1)(torch.randn(2, 5, 16))
    assert called == ["drop", "drop"]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_dropout_that_is_in_evaluation_mode_drops_nothing_in_a_layer_that_trains(
    activation: str,
) -> None:
    layers: list[nn.Module] = [
        FeedForward(32, 64, activation=activation, dropout=0.5),
        TransformerEncoderLayer(
            32, 4, 64, activation=activation, dropout=0.5, attention_dropout=0.0
        ),
    ]
    inputs = torch.randn(40, 40, 32)  # so many numbers are dropped by a kernel
    for layer in layers:
        wanted = layer.eval()(inputs)
        for module in layer.train().modules():
            if isinstance(module, Dropout):
                module.eval()
        torch.testing.assert_close(layer(inputs), wanted)
