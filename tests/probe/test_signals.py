"""What stands for a token: signals can be told apart, and noise is drawn by the generator alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from heedful.errors import OptionError
from heedful.probe.encoders import Spec
from heedful.probe.gradient import mean_norms
from heedful.probe.model import accuracy
from heedful.probe.settings import Settings
from heedful.probe.signals import NOISE, SIGNALS, SignalInputs, build_inputs
from heedful.probe.workshop import Workshop

COUNT = 17


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_can_be_told_apart_under_the_noise(name: str) -> None:
    signals = SIGNALS[name](COUNT)
    assert signals.mean().item() == pytest.approx(0, abs=1e-5)
    assert signals.std().item() == pytest.approx(1, abs=1e-5)
    noisy = signals + NOISE * torch.randn(
        200, *signals.shape, generator=torch.Generator().manual_seed(0)
    )
    nearest = torch.cdist(noisy, signals).argmin(-1)
    assert (nearest == torch.arange(COUNT)).float().mean() > 0.99


def test_noise_is_drawn_by_the_generator_alone() -> None:
    inputs = build_inputs("tones", COUNT, 8)
    tokens = torch.arange(COUNT)[None]
    clean = inputs(tokens)
    assert clean.equal(inputs(tokens))
    first, again, other = (
        inputs(tokens, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert first.equal(again)
    assert not first.equal(other)
    assert not first.equal(clean)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_symbol_of_signals_is_learned(name: str) -> None:
    """The last position of a window that sees the symbol names it."""
    settings = Settings(
        inputs=name,
        steps=60,
        tokens=256,
        width=16,
        symbols=4,
        train_lengths=(4,),
        learning_rate=0.02,
    )
    shop = Workshop(settings)
    model = shop.trained(Spec.parse("window:size=4"), "recall", (4,), 0)
    assert isinstance(model.inputs, SignalInputs)
    found = accuracy(model, shop.task("recall"), 4, 200, seed=1)
    assert found > 0.8
    assert found == accuracy(model, shop.task("recall"), 4, 200, seed=1)
    assert mean_norms(model, 8, 0).shape == (8,)


def test_unknown_inputs_are_an_error() -> None:
    with pytest.raises(
        OptionError, match="inputs = 'notes'; expected one of tokens, tones, patches"
    ):
        replace(Settings(), inputs="notes")
