"""Output layer and loss in blocks against PyTorch's on the whole matrix of logits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.nn import cross_entropy
from heedful.nn.cross_entropy import smoothed_cross_entropy
from heedful.ops import softmax_loss
from heedful.ops.softmax_loss import loss_and_gradient


def given(*, bias: bool = True, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> Any:
    torch.manual_seed(0)
    leaves = [scale * torch.randn(7, 5), torch.randn(11, 5), torch.randn(11)][: 3 if bias else 2]
    made = [leaf.to(dtype).requires_grad_() for leaf in leaves]
    return [*made, None][:3], torch.randint(11, (7,))


def plain(states: Tensor, weight: Tensor, bias: Tensor | None, wanted: Tensor, s: float) -> Tensor:
    logits = F.linear(states, weight, bias)
    return F.cross_entropy(logits.float(), wanted, label_smoothing=s, reduction="sum")


def exact(states: Tensor, weight: Tensor, bias: Tensor | None, wanted: Tensor, s: float) -> Tensor:
    logits = F.linear(states, weight, bias)
    return F.cross_entropy(logits, wanted, label_smoothing=s, reduction="sum")


def gradients(loss: Tensor, tensors: list[Tensor | None]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(3 * loss, [tensor for tensor in tensors if tensor is not None])


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1.0, 200.0])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_pytorchs(
    bias: bool, scale: float, smoothing: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "BLOCK_BYTES", rows * 11 * 8)
    tensors, wanted = given(bias=bias, scale=scale)
    ours = smoothed_cross_entropy(*tensors, wanted, smoothing)
    logits = F.linear(*tensors)
    theirs = F.cross_entropy(logits, wanted, label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients(ours, tensors), gradients(theirs, tensors))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_with_sums_in_float32(precision: torch.dtype) -> None:
    tensors, wanted = given(dtype=precision)
    loss = smoothed_cross_entropy(*tensors, wanted, 0.1)
    assert loss.dtype == torch.float32
    mine = gradients(loss, tensors)
    assert all(each.dtype == precision for each in mine)
    theirs = gradients(plain(*tensors, wanted, 0.1), tensors)
    for first, second in zip(mine, theirs, strict=True):
        torch.testing.assert_close(first, second, atol=0.1, rtol=0.05)


def test_under_autocast_the_products_are_in_its_precision() -> None:
    tensors, wanted = given(dtype=torch.float32)
    exact = smoothed_cross_entropy(*tensors, wanted, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = smoothed_cross_entropy(*tensors, wanted, 0.1)
    assert loss.dtype == torch.float32
    assert not torch.equal(loss, exact)
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0.02)
    mine = gradients(loss, tensors)
    assert all(each.dtype == torch.float32 for each in mine)
    torch.testing.assert_close(mine, gradients(exact, tensors), rtol=0.05, atol=0.1)


def test_a_true_token_of_no_probability() -> None:
    states = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [300.0]], requires_grad=True)
    loss = smoothed_cross_entropy(states, weight, None, torch.tensor([0]))
    loss.backward()
    assert float(loss.detach()) == 300.0
    assert weight.grad is not None
    assert weight.grad.tolist() == [[-1.0], [1.0]]


def test_no_positions_have_no_loss() -> None:
    tensors, wanted = given()
    loss = smoothed_cross_entropy(tensors[0][:0], *tensors[1:], wanted[:0])
    loss.backward()
    assert float(loss.detach()) == 0
    assert not tensors[1].grad.any()


def test_what_is_kept_does_not_grow_with_positions_times_tokens() -> None:
    kept: list[int] = []

    def count(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    tensors, wanted = given()
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        smoothed_cross_entropy(*tensors, wanted, 0.1)
    # the gradients, and what they are of
    assert sum(kept) == 2 * (7 * 5 + 11 * 5 + 11)


def test_evaluating_multiplies_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("a gradient that nobody wants")

    monkeypatch.setattr(cross_entropy, "_add", refuse)
    tensors, wanted = given()
    with torch.no_grad():
        smoothed_cross_entropy(*tensors, wanted)


@pytest.mark.parametrize("bias", [True, False])
def test_second_derivatives_are_pytorchs(bias: bool) -> None:
    tensors, wanted = given(bias=bias)
    leaves = [tensor for tensor in tensors if tensor is not None]
    found = []
    for loss in (smoothed_cross_entropy, exact):
        first = torch.autograd.grad(loss(*tensors, wanted, 0.1), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(each.square().sum() for each in first), leaves))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("tokens", [16, 17, 31, 32, 1000, 1003])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_kernel_is_the_plain_block(
    tokens: int, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax_loss, "LEAST", 0)
    torch.manual_seed(0)
    logits = 4 * torch.randn(9, tokens)
    wanted = torch.randint(tokens, (9,))
    wanted[:2] = torch.tensor([0, tokens - 1])
    leaf = logits.double().requires_grad_()
    exact = F.cross_entropy(leaf, wanted, label_smoothing=smoothing, reduction="none")
    [gradient] = torch.autograd.grad(exact.sum(), leaf)
    assert softmax_loss.can_fuse(logits)
    kept = softmax_loss.loss_and_gradient(logits, wanted, smoothing, needs_gradient=False)
    assert torch.equal(logits.double(), leaf)
    losses = softmax_loss.loss_and_gradient(logits, wanted, smoothing, needs_gradient=True)
    assert torch.equal(losses, kept)
    torch.testing.assert_close(losses.double(), exact.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(logits.double(), gradient, rtol=1e-5, atol=1e-7)


def test_the_kernel_rounds_bfloat16_once() -> None:
    torch.manual_seed(0)
    logits = (4 * torch.randn(300, 300)).bfloat16()
    wanted = torch.randint(300, (300,))
    leaf = logits.double().requires_grad_()
    exact = F.cross_entropy(leaf, wanted, label_smoothing=0.1, reduction="none")
    [gradient] = torch.autograd.grad(exact.sum(), leaf)
    losses = softmax_loss.loss_and_gradient(logits, wanted, 0.1, needs_gradient=True)
    torch.testing.assert_close(losses.double(), exact.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(logits.double(), gradient, rtol=2**-8, atol=1e-7)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 5, 20])
def test_the_kernel_shows_what_is_not_finite(number: float, place: int) -> None:
    logits = torch.zeros(2, 21)
    logits[0, place] = number
    wanted = torch.tensor([1, 1])
    theirs = F.cross_entropy(logits, wanted, reduction="none")
    losses = softmax_loss.loss_and_gradient(logits, wanted, 0.0, needs_gradient=True)
    assert bool(losses[0].isfinite()) == bool(theirs[0].isfinite())
    torch.testing.assert_close(losses[1], theirs[1])


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_loss_and_gradients_of_the_kernel_are_pytorchs(
    precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    leaves: list[Tensor | None] = [torch.randn(300, 8), torch.randn(500, 8), torch.randn(500)]
    leaves = [None if each is None else each.requires_grad_() for each in leaves]
    wanted = torch.randint(500, (300,))
    fused = []
    monkeypatch.setattr(
        cross_entropy,
        "loss_and_gradient",
        lambda *a, **k: fused.append(1) or loss_and_gradient(*a, **k),
    )
    with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
        ours = smoothed_cross_entropy(*leaves, wanted, 0.1)
    assert fused
    exact_leaves = [
        None if each is None else each.detach().double().requires_grad_() for each in leaves
    ]
    theirs = exact(*exact_leaves, wanted, 0.1)
    loose = precision == torch.bfloat16
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-2 if loose else 1e-5, atol=0.0)
    for mine, wanted_one in zip(
        gradients(ours, leaves), gradients(theirs, exact_leaves), strict=True
    ):
        torch.testing.assert_close(
            mine.double(), wanted_one, rtol=0.02 if loose else 1e-4, atol=0.1 if loose else 1e-4
        )
