from __future__ import annotations

import pytest
import torch

from heedful.errors import OptionError
from heedful.nn import (
    NORMALIZER_BUILDERS,
    LearnedEntmax,
    LearnedSinkSoftmax,
    NormalizerModule,
    build_normalizer,
)
from heedful.ops.normalizers import NORMALIZERS


def test_every_normalizer_can_be_named():
    assert set(NORMALIZERS) <= set(NORMALIZER_BUILDERS)


@pytest.mark.parametrize("name", NORMALIZER_BUILDERS)
def test_built_by_name(name):
    built = build_normalizer(name, num_heads=2)
    value = built() if isinstance(built, NormalizerModule) else built
    assert value.name == name.removeprefix("learned_")
    weights = value.weights(torch.randn(1, 2, 3, 4), None)
    assert weights.shape == (1, 2, 3, 4)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(OptionError, match="did you mean 'sparsemax'"):
        build_normalizer("sparcemax")


def test_learned_entmax_learns_its_alpha_for_each_head():
    module = LearnedEntmax(num_heads=2, initial=1.3)
    torch.testing.assert_close(module().alpha, torch.tensor([1.3, 1.3]))
    module().weights(torch.randn(1, 2, 3, 4), None).square().sum().backward()
    assert module.raw_alpha.grad.abs().min() > 0
    assert LearnedEntmax()().alpha.shape == ()


@pytest.mark.parametrize("initial", [1.0, 2.0, 3.0])
def test_learned_entmax_refuses_a_start_it_cannot_reach(initial):
    with pytest.raises(OptionError, match=f"initial={initial} must lie strictly between"):
        LearnedEntmax(initial=initial)


def test_learned_sinks_learn_one_for_each_head():
    module = LearnedSinkSoftmax(num_heads=2)
    scores = torch.randn(1, 2, 3, 4)
    torch.testing.assert_close(
        module().weights(scores, None), scores.exp() / (1 + scores.exp().sum(-1, keepdim=True))
    )
    module().weights(scores, None).square().sum().backward()
    assert module.sink.grad.abs().min() > 0
    assert LearnedSinkSoftmax()().sink.shape == ()
