"""Recurrent encoders against PyTorch's own layers, one sequence at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from heedful.errors import DtypeError, OptionError, ShapeError
from heedful.nn.recurrent import CELLS, RecurrentEncoder, as_hidden, build_layers, from_hidden

KINDS = sorted(CELLS)
LENGTHS = torch.tensor([4, 6, 1])


def make(kind: str, layers: int = 2, bidirectional: bool = True) -> tuple[RecurrentEncoder, Tensor]:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(kind, 3, 5, layers=layers, bidirectional=bidirectional).double()
    for parameter in encoder.parameters():
        # Biases start at zero, where a mistake in them would not be seen.
        nn.init.normal_(parameter, std=0.4)
    return encoder, torch.randn(3, 6, 3, dtype=torch.double)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_each_sequence_is_read_as_pytorch_reads_it_alone(
    kind: str, layers: int, bidirectional: bool
) -> None:
    encoder, inputs = make(kind, layers, bidirectional)
    oracle = CELLS[kind].layer(3, 5, layers, batch_first=True, bidirectional=bidirectional).double()
    oracle.load_state_dict(encoder.layers.state_dict())
    states = encoder(inputs, LENGTHS)
    assert states.values.shape == (3, 6, encoder.width)
    assert len(states.summary) == (2 if kind == "lstm" else 1)
    for row, length in enumerate(LENGTHS.tolist()):
        values, final = oracle(inputs[row : row + 1, :length])
        torch.testing.assert_close(states.values[row, :length], values[0])
        assert torch.equal(
            states.values[row, length:], torch.zeros(6 - length, encoder.width).double()
        )
        for got, wanted in zip(states.summary, as_hidden(final), strict=True):
            # PyTorch: (layers × directions, 1, hidden), the directions of a layer one after the other.
            torch.testing.assert_close(got[:, row], wanted.view(layers, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_what_padding_holds_reaches_no_output_and_no_gradient(kind: str) -> None:
    encoder, inputs = make(kind)
    clean = encoder(inputs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        inputs[row, length:] = torch.nan
    inputs.requires_grad_()
    dirty = encoder(inputs, LENGTHS)
    assert torch.equal(clean.values, dirty.values)
    assert all(torch.equal(a, b) for a, b in zip(clean.summary, dirty.summary, strict=True))
    (dirty.values.square().sum() + dirty.summary[0].sum()).backward()
    assert inputs.grad is not None
    for row, length in enumerate(LENGTHS.tolist()):
        assert inputs.grad[row, :length].abs().sum() > 0
        assert torch.equal(inputs.grad[row, length:], torch.zeros(6 - length, 3).double())
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_of_a_cell_is_pytorchs(kind: str) -> None:
    torch.manual_seed(0)
    layers = build_layers(kind, 3, 4).double()
    for parameter in layers.parameters():
        nn.init.normal_(parameter)
    inputs = torch.randn(2, 5, 3, dtype=torch.double)
    parts = 2 if kind == "lstm" else 1
    hidden = tuple(torch.randn(2, 4, dtype=torch.double) for _ in range(parts))
    outputs, final = layers(inputs, from_hidden(tuple(part.unsqueeze(0) for part in hidden)))
    for position in range(5):
        gates = nn.functional.linear(inputs[:, position], layers.weight_ih_l0, layers.bias_ih_l0)
        assert gates.shape[1] == CELLS[kind].gates * 4
        hidden = CELLS[kind].step(gates, hidden, layers.weight_hh_l0, layers.bias_hh_l0)
        torch.testing.assert_close(hidden[0], outputs[:, position])
    for got, wanted in zip(hidden, as_hidden(final), strict=True):
        torch.testing.assert_close(got, wanted[0])


def test_starting_values() -> None:
    layers = build_layers("lstm", 3, 4, layers=2)
    for gate in layers.weight_hh_l1.split(4):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(4))
    forget = layers.bias_ih_l0 + layers.bias_hh_l0
    assert forget.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


def test_dropout_acts_between_layers_and_only_when_training() -> None:
    encoder = RecurrentEncoder("gru", 3, 5, layers=2, dropout=0.5)
    inputs, lengths = torch.randn(2, 4, 3), torch.tensor([4, 3])
    assert not torch.equal(encoder(inputs, lengths).values, encoder(inputs, lengths).values)
    encoder.eval()
    assert torch.equal(encoder(inputs, lengths).values, encoder(inputs, lengths).values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lsmt", 3, 5, {}), "unknown recurrent cell 'lsmt'; did you mean 'lstm'"),
        (("gru", 0, 5, {}), "at least 1; got input_width=0, width=5, layers=1"),
        (("gru", 3, 5, {"layers": 0}), "at least 1; got input_width=3, width=5, layers=0"),
        (("gru", 3, 5, {"dropout": 1.0}), "below 1; got 1.0"),
    ],
)
def test_wrong_options_are_refused(
    arguments: tuple[str, int, int, dict[str, float]], message: str
) -> None:
    kind, width, hidden, others = arguments
    with pytest.raises(OptionError, match=message):
        RecurrentEncoder(kind, width, hidden, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inputs", "lengths", "error", "message"),
    [
        (
            torch.ones(2, 3),
            torch.tensor([1, 1]),
            ShapeError,
            r"\(2, 3\); wanted \(batch, length, 3\)",
        ),
        (torch.ones(2, 4, 2), torch.tensor([1, 1]), ShapeError, r"\(2, 4, 2\); wanted"),
        (torch.ones(2, 4, 3), torch.tensor([1]), ShapeError, r"\(1,\); wanted \(2,\)"),
        (
            torch.ones(2, 4, 3),
            torch.tensor([1.0, 2.0]),
            DtypeError,
            "torch.float32; wanted integers",
        ),
        (
            torch.ones(2, 4, 3),
            torch.tensor([True, True]),
            DtypeError,
            "torch.bool; wanted integers",
        ),
        (torch.ones(2, 4, 3), torch.tensor([0, 4]), ShapeError, "from 0 to 4; wanted 1 to 4"),
        (torch.ones(2, 4, 3), torch.tensor([1, 5]), ShapeError, "from 1 to 5; wanted 1 to 4"),
    ],
)
def test_wrong_inputs_are_refused(
    inputs: Tensor, lengths: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RecurrentEncoder("gru", 3, 5)(inputs, lengths)
