"""The GPU's additive pair, run by Triton's interpreter where there is no GPU, against plain mathematics."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful import scores

pytest.importorskip("triton", reason="the extra `gpu` is not installed")

SHAPES = [(2, 33, 70, 5), (1, 1, 1, 1), (3, 17, 65, 9), (1, 40, 3, 4)]
SLOPES = [None, 0.2]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def operands(lead: int, queries: int, keys: int, hidden: int, spread: float) -> list[Tensor]:
    shapes = ((lead, queries, hidden), (lead, keys, hidden), (lead, hidden))
    return [
        (spread * torch.randn(shape, dtype=torch.float64, device=DEVICE)).requires_grad_()
        for shape in shapes
    ]


def plain(query: Tensor, key: Tensor, vector: Tensor, slope: float | None) -> Tensor:
    unit = torch.eye(query.shape[-1], dtype=query.dtype, device=query.device)
    activation = "tanh" if slope is None else "leaky_relu"
    return scores.Additive(unit, unit, vector, activation=activation).pair(query, key)


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_scores_and_gradients_are_those_of_the_formula(
    shape: tuple[int, int, int, int], slope: float | None
) -> None:
    from heedful.ops.backends.additive.gpu_kernels import scores_backward, scores_forward

    inputs = operands(*shape, spread=1.0)
    wanted = plain(*inputs, slope)
    upstream = torch.randn_like(wanted)
    gradients = torch.autograd.grad(wanted, inputs, upstream)
    held = [tensor.detach() for tensor in inputs]
    torch.testing.assert_close(scores_forward(*held, slope), wanted.detach())
    for got, right in zip(scores_backward(upstream, *held, slope), gradients, strict=True):
        torch.testing.assert_close(got, right)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # to infinity, as it should
@pytest.mark.parametrize("slope", SLOPES)
def test_single_precision_keeps_its_precision_however_large_the_features(
    slope: float | None,
) -> None:
    from heedful.ops.backends.additive.gpu_kernels import scores_backward, scores_forward

    for spread in (1.0, 1e3):
        inputs = operands(2, 9, 20, 8, spread)
        single = [tensor.detach().float() for tensor in inputs]
        wanted = plain(*[tensor.double() for tensor in single], slope)
        got = scores_forward(*single, slope)
        assert float((got - wanted).abs().max() / wanted.abs().max()) < 1e-6
        assert all(g.isfinite().all() for g in scores_backward(got.sign(), *single, slope))


def test_any_layout_is_read_right() -> None:
    from heedful.ops.backends.additive.gpu_kernels import scores_forward

    query, key, vector = (tensor.detach() for tensor in operands(2, 6, 10, 4, 1.0))
    swapped = query.transpose(1, 2).contiguous().transpose(1, 2)
    overlapping = key.as_strided((2, 7, 4), (4, 4, 1))
    got = scores_forward(swapped, overlapping, vector[:1].expand(2, -1), None)
    torch.testing.assert_close(got, plain(query, overlapping, vector[:1].expand(2, -1), None))
