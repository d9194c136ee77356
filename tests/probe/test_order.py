"""Sense of order: exactly none where there is none."""

from __future__ import annotations

import pytest
import torch

from heedful.probe.encoders import Spec
from heedful.probe.order import CHANGES, order, permutation, sensitivity
from heedful.probe.workshop import Workshop


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("length", [4, 5, 12])
def test_permutations(change: str, length: int) -> None:
    places = permutation(change, length, torch.Generator().manual_seed(0))
    assert sorted(places.tolist()) == list(range(length))
    moved = (places != torch.arange(length)).nonzero().flatten().tolist()
    if change == "swap":
        assert len(moved) == 2
        assert moved[1] == moved[0] + 1


@pytest.mark.parametrize("kind", ["attention", "transformer"])
@pytest.mark.parametrize("score", ["scaled_dot", "additive", "bilinear"])
def test_attention_without_positions_knows_no_order(kind: str, score: str) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2, 9, 8, dtype=torch.float64)
    places = torch.randperm(9)
    for positions, knows in (("none", False), ("sinusoidal", True), ("rotary", True)):
        if positions == "rotary" and score == "additive":
            continue
        spec = Spec.parse(f"{kind}:positions={positions}:score={score}:heads=2")
        change = sensitivity(spec.build(8, 9).double().eval(), inputs, places)
        assert change > 1e-3 if knows else change < 1e-13, (positions, change)


def test_a_token_alone_knows_none_at_all_and_a_window_does() -> None:
    torch.manual_seed(0)
    inputs, places = torch.randn(2, 9, 8), torch.arange(9).flip(0)
    assert sensitivity(Spec.parse("none").build(8, 9).eval(), inputs, places) == 0.0
    assert sensitivity(Spec.parse("window:size=1").build(8, 9).eval(), inputs, places) > 0.1


def test_with_and_without_positions(shop: Workshop) -> None:
    names = ("lstm", "transformer:heads=2", "transformer:positions=none")
    found = list(order([Spec.parse(name) for name in names], shop))
    assert [(one.encoder, one.variant) for one in found] == [
        ("lstm", ""), ("transformer:heads=2", ""), ("transformer:heads=2", "without positions"),
        ("transformer:positions=none", ""),
    ]  # fmt: skip
    assert all(value < 1e-5 for one in found[2:] for _, value in one.points)
    assert all(value > 1e-3 for one in found[:2] for _, value in one.points)
