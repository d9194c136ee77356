"""Gradients by distance against autograd's own Jacobian, and reaches that are known."""

from __future__ import annotations

import pytest
import torch

from heedful.models.encoders import ENCODERS
from heedful.probe.encoders import Spec
from heedful.probe.gradient import distances, gradient, gradient_norms
from heedful.probe.workshop import Workshop


@pytest.mark.parametrize("kind", ENCODERS)
def test_norms_are_those_of_the_jacobian(kind: str) -> None:
    torch.manual_seed(0)
    encoder = Spec.parse(kind).build(8, 16).double().eval()
    inputs = torch.randn(5, 8, dtype=torch.float64)

    def last(given: torch.Tensor) -> torch.Tensor:
        return encoder(given[None], torch.tensor([5])).values[0, -1]

    # oneDNN's LSTM keeps what a backward pass needs only when inputs ask for it, which these do
    jacobian = torch.autograd.functional.jacobian(last, inputs)
    expected = torch.stack([jacobian[:, 4 - d].norm() for d in range(5)])
    torch.testing.assert_close(gradient_norms(encoder, inputs), expected)


@pytest.mark.parametrize(
    ("name", "reach"),
    [("none", 0), ("window:size=2", 2), ("convolution:size=1:layers=3", 3), ("lstm", 11),
     ("transformer:mask=window:window=1:layers=2", 2), ("transformer", 11)],
)  # fmt: skip
def test_beyond_its_reach_nothing_arrives(name: str, reach: int) -> None:
    torch.manual_seed(0)
    norms = gradient_norms(Spec.parse(name).build(8, 12).eval(), torch.randn(12, 8))
    assert norms.nonzero().flatten().tolist() == list(range(reach + 1))


def test_both_fresh_and_trained(shop: Workshop) -> None:
    fresh, trained = gradient([Spec.parse("lstm")], shop)
    assert (fresh.variant, trained.variant) == ("fresh", "trained")
    assert [x for x, _ in fresh.points] == distances(12) == [1, 2, 4, 8, 11]
    assert fresh.points != trained.points
    assert list(gradient([Spec.parse("lstm")], Workshop(shop.settings))) == [fresh, trained]
