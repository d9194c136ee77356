"""Self-attention between pixels, beside the paper's formula in plain matrix products."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful.errors import ShapeError
from heedful.nn import SelfAttention2d
from heedful.ops.observe import Observed, observing


def formula(layer: SelfAttention2d, x: Tensor) -> Tensor:
    f, g, h = (part(x) for part in (layer.query, layer.key, layer.value))
    if layer.pool:
        g, h = F.max_pool2d(g, 2), F.max_pool2d(h, 2)
    scores = torch.einsum("bcq,bck->bqk", f.flatten(2), g.flatten(2))
    attended = torch.einsum("bqk,bck->bcq", scores.softmax(-1), h.flatten(2))
    return x + layer.gamma * layer.output(attended.reshape(*attended.shape[:2], *x.shape[2:]))


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_is_the_formula_with_its_gradients(pool: bool, spectral_norm: bool) -> None:
    layer = SelfAttention2d(16, pool=pool, spectral_norm=spectral_norm).double().eval()
    nn.init.constant_(layer.gamma, 0.7)
    x = torch.randn(2, 16, 5, 6, dtype=torch.float64, requires_grad=True)
    factor = torch.randn(2, 16, 5, 6, dtype=torch.float64)
    learned = [x, *layer.parameters()]
    wanted, got = formula(layer, x), layer(x)
    torch.testing.assert_close(got, wanted)
    for one, other in zip(
        torch.autograd.grad((got * factor).sum(), learned),
        torch.autograd.grad((wanted * factor).sum(), learned),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_the_maps_have_a_largest_singular_value_of_one() -> None:
    layer = SelfAttention2d(16, spectral_norm=True)
    layer(torch.randn(1, 16, 3, 3))
    for part in (layer.query, layer.key, layer.value, layer.output):
        for _ in range(50):
            part(torch.randn(1, part.in_channels, 1, 1))
        weight: Tensor = part.weight.detach().flatten(1)
        assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=1e-3)


def test_sizes() -> None:
    layer = SelfAttention2d(32, key_channels=3, value_channels=5)
    assert (layer.query.out_channels, layer.value.out_channels) == (3, 5)
    assert SelfAttention2d(4).query.out_channels == 1


def test_attention_is_observed() -> None:
    seen: list[Observed] = []
    with observing(seen.append):
        SelfAttention2d(8, pool=True)(torch.randn(1, 8, 4, 6))
    assert [tuple(each.weights.shape) for each in seen] == [(1, 24, 6)]


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"give \(batch, 8, height, width\)"):
        SelfAttention2d(8)(torch.zeros(1, 4, 3, 3))
    with pytest.raises(ShapeError, match="both at least 2"):
        SelfAttention2d(8, pool=True)(torch.zeros(1, 8, 1, 3))
    with pytest.raises(ShapeError, match="key_channels=0 is not a size"):
        SelfAttention2d(8, key_channels=0)
