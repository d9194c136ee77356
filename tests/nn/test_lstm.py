"""The LSTM over padded sequences against PyTorch's over packed ones."""

from __future__ import annotations

import pytest
import torch

from heedful.errors import ShapeError
from heedful.nn.lstm import LSTMEncoder
from heedful.nn.recurrent import RecurrentEncoder


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("lengths", [[3, 7, 1, 5], [7, 7, 7, 7], [1, 1, 1, 1]])
def test_values_summary_and_every_gradient(bidirectional: bool, lengths: list[int]) -> None:
    torch.manual_seed(0)
    encoder = LSTMEncoder(5, 4, bidirectional=bidirectional)
    inputs, counted = torch.randn(4, 7, 5, requires_grad=True), torch.tensor(lengths)
    found = encoder(inputs, counted)
    wanted = RecurrentEncoder.forward(encoder, inputs, counted)
    torch.testing.assert_close(found.values, wanted.values)
    torch.testing.assert_close(found.summary[0], wanted.summary[0])
    mix = torch.randn_like(found.values)
    gradients = [
        torch.autograd.grad(
            (each.values * mix).sum() + each.summary[0].sin().sum(), [inputs, *encoder.parameters()]
        )
        for each in (found, wanted)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_padding_never_matters() -> None:
    encoder = LSTMEncoder(5, 4)
    inputs = torch.randn(2, 4, 5)
    dirty = inputs.clone()
    dirty[1, 2:] = torch.nan
    lengths = torch.tensor([4, 2])
    assert torch.equal(encoder(inputs, lengths).values, encoder(dirty, lengths).values)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="wanted"):
        LSTMEncoder(5, 4)(torch.zeros(2, 3, 4), torch.tensor([3, 3]))
