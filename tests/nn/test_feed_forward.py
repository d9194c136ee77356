from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from heedful.errors import OptionError, ShapeError
from heedful.nn import ACTIVATIONS, Dropout, FeedForward, dropout

FORMULAS = {
    "relu": lambda layer, x: F.relu(layer.widen(x)),
    "gelu": lambda layer, x: F.gelu(layer.widen(x)),
    "gated": lambda layer, x: F.silu(layer.widen(x)[..., :6]) * layer.widen(x)[..., 6:],
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_is_its_formula(activation):
    layer = FeedForward(4, 6, activation=activation)
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(layer(x), layer.narrow(FORMULAS[activation](layer, x)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients(activation):
    torch.manual_seed(0)
    layer = FeedForward(2, 3, activation=activation).double()
    assert torch.autograd.gradcheck(
        layer, torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    )


def test_every_argument_changes_something():
    x = torch.randn(2, 3, 4)

    def output(**options):
        torch.manual_seed(0)
        return FeedForward(4, 8, **options)(x)

    outputs = [output(activation=name) for name in ACTIVATIONS] + [output(dropout=0.5)]
    for index, first in enumerate(outputs):
        assert all(not torch.equal(first, other) for other in outputs[:index])
    assert FeedForward(4, 8, bias=False).widen.bias is None
    assert FeedForward(4, 8).narrow.bias is not None


def test_mistakes_are_named():
    with pytest.raises(OptionError, match="unknown activation 'relo'; did you mean 'relu'"):
        FeedForward(4, 8, activation="relo")
    with pytest.raises(ShapeError, match="got inputs of 5 features, wanted"):
        FeedForward(4, 8)(torch.zeros(2, 5))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_drops_that_share_and_keeps_the_expectation(probability, dtype):
    torch.manual_seed(0)
    dropped = dropout(torch.ones(101, 999, dtype=dtype), probability)
    assert dropped.dtype == dtype
    assert abs(float((dropped == 0).double().mean()) - probability) < 0.005
    kept = dropped[dropped != 0].double()
    assert bool((kept == kept[0]).all())
    assert float(kept[0]) == pytest.approx(1 / (1 - probability), rel=1e-2)
    # Features are dropped one by one: neighbours, which share a random number, are not alike.
    gone = (dropped == 0).double().flatten()
    assert abs(float((gone[1:] * gone[:-1]).mean()) - probability**2) < 0.01


def test_dropout_gradient_is_the_mask_and_the_seed_decides():
    x = torch.randn(7, 3, requires_grad=True)
    torch.manual_seed(1)
    y = dropout(x, 0.5)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y, x * gradient)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5), y)
    assert not torch.equal(dropout(x, 0.5), y)
    assert dropout(torch.ones(0, 3), 0.5).shape == (0, 3)


def test_dropout_of_a_tiny_probability_still_drops():
    torch.manual_seed(0)
    dropped = sum(int((dropout(torch.ones(2**14), 1e-9) == 0).sum()) for _ in range(64))
    assert 0 < dropped < 100


def test_dropout_module_acts_while_training_alone():
    x = torch.ones(50)
    module = Dropout(0.5)
    assert bool((module(x) == 0).any())
    assert module.eval()(x) is x
    assert repr(module) == "Dropout(probability=0.5)"


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_dropout_refuses_what_is_no_probability(probability):
    with pytest.raises(OptionError, match=r"outside \[0, 1\)"):
        Dropout(probability)
    with pytest.raises(OptionError, match=r"outside \[0, 1\)"):
        dropout(torch.ones(2), probability)


def test_dropout_under_vmap_draws_for_each_of_the_batch():
    each = torch.func.vmap(lambda x: dropout(x, 0.5), randomness="different")
    dropped = each(torch.ones(2, 100))
    assert not torch.equal(dropped[0], dropped[1])
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
