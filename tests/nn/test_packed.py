"""Packed layers with a backward pass by hand against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful.nn.recurrent import RecurrentEncoder

LENGTHS = torch.tensor([3, 7, 1, 7, 4])


def looked_at(encoder: RecurrentEncoder, *, by_hand: bool, lengths: Tensor) -> list[Tensor]:
    encoder.by_hand = by_hand
    encoder.zero_grad()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(5, 8, 3, generator=generator, dtype=torch.float64)
    inputs = inputs.to(encoder.layers.weight_ih_l0.dtype).requires_grad_()
    values, _, summary = encoder(inputs, lengths)
    made = [values, *summary]
    for each in made:
        (each * torch.linspace(-1, 2, each.numel()).view(each.shape)).sum().backward(
            retain_graph=True
        )
    assert inputs.grad is not None
    return [*(e.detach() for e in made), inputs.grad, *(p.grad for p in encoder.parameters())]


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("lengths", [LENGTHS, torch.full((5,), 8), torch.ones(5).long()])
def test_it_is_pytorchs(kind: str, layers: int, bidirectional: bool, lengths: Tensor) -> None:
    torch.manual_seed(1)
    encoder = RecurrentEncoder(kind, 3, 4, layers=layers, bidirectional=bidirectional).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    mine, theirs = (looked_at(encoder, by_hand=way, lengths=lengths) for way in (True, False))
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_float32_is_pytorchs(kind: str) -> None:
    encoder = RecurrentEncoder(kind, 3, 4)
    mine, theirs = (looked_at(encoder, by_hand=way, lengths=LENGTHS) for way in (True, False))
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_dropout_between_layers_while_training() -> None:
    encoder = RecurrentEncoder("gru", 3, 16, layers=2, dropout=0.5)
    inputs = torch.randn(5, 8, 3)
    first, second = (encoder(inputs, LENGTHS).values for _ in range(2))
    assert not torch.equal(first, second)
    encoder.eval()
    first, second = (encoder(inputs, LENGTHS).values for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_second_derivatives_are_pytorchs(kind: str) -> None:
    encoder = RecurrentEncoder(kind, 3, 4).double()
    inputs = torch.randn(5, 8, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for encoder.by_hand in (True, False):
        leaves = [inputs, *encoder.parameters()]
        values = encoder(inputs, LENGTHS).values
        first = torch.autograd.grad(values.square().sum(), leaves, create_graph=True)
        total = sum(each.square().sum() for each in first)
        assert isinstance(total, Tensor)
        found.append(torch.autograd.grad(total, leaves))
    torch.testing.assert_close(*found)
